"""The directory for what tools have in hand."""

from __future__ import annotations

from pathlib import Path

from jobs.local import WorkerLock
from services.scratch import open_scratch


async def test_it_is_there_while_the_worker_runs_and_gone_behind_it(tmp_path: Path) -> None:
    async with open_scratch(tmp_path) as scratch:
        (scratch / "half.csv").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


async def test_what_a_killed_worker_left_is_cleared_away_and_a_living_ones_is_not(tmp_path: Path) -> None:
    (tmp_path / "worker_dead.lock").write_text("1")
    (tmp_path / "worker_dead").mkdir()
    (tmp_path / "worker_dead" / "half.csv").write_bytes(b"x")
    with WorkerLock(tmp_path, "worker_living"):
        (tmp_path / "worker_living").mkdir()
        async with open_scratch(tmp_path):
            assert not (tmp_path / "worker_dead").exists()
            assert (tmp_path / "worker_living").is_dir()
