"""The soak itself: it breaks things, and says what came of them."""

from __future__ import annotations

from pathlib import Path

from tests.soak.__main__ import soak

MINUTES, SEED = 0.15, 2
COUNTED = {
    "jobs",
    "words",
    "takeovers",
    "gaps",
    "words_lost",
    "words_doubled",
    "steps_repeated",
    "unlike",
    "unexpected",
}


async def test_a_short_soak_breaks_things_and_loses_nothing(tmp_path: Path) -> None:
    found = await soak(MINUTES, SEED, tmp_path)
    assert found["clean"], found
    assert found["faults"]
    assert found["jobs"]
    assert set(found) >= COUNTED
