"""How long a failing endpoint is tried again."""

import pytest

from models.faults import LIMITED, ONCE, TRANSIENT, Fault


@pytest.mark.parametrize(
    ("pauses", "patience", "attempts"),
    [
        (TRANSIENT, 0, 3),
        (TRANSIENT, 30, 6),
        (TRANSIENT, 12 * 3600, 152),
        (LIMITED, 0, 3),
        (ONCE, 12 * 3600, 1),
        ((), 12 * 3600, 0),
    ],
)
def test_pauses_grow_until_the_patience_is_used_up(pauses: tuple[float, ...], patience: float, attempts: int) -> None:
    fault = Fault(code="model_error", reason="It failed.", pauses=pauses)
    waits: list[float] = []
    while (wait := fault.pause(len(waits), patience)) is not None:
        waits.append(wait)
    assert len(waits) == attempts
    assert waits == sorted(waits)
    assert sum(waits) <= max(patience, sum(pauses))
    assert not waits or max(waits) <= 300
