"""How often somebody may do something."""

from __future__ import annotations

import pytest

from accounts import Buckets
from accounts.buckets import MAX_BUCKETS


class Clock:
    """Goes on when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(buckets: Buckets, name: str) -> int:
    """How many tokens are there now."""
    count = 0
    while buckets.take(name) == 0:
        count += 1
    return count


@pytest.mark.parametrize(("per_minute", "burst"), [(60, 20), (600, 100), (1, 20)])
def test_ten_seconds_worth_may_come_at_once_and_twenty_at_least(per_minute: float, burst: int) -> None:
    assert taken(Buckets(per_minute, clock=Clock()), "ada") == burst


def test_it_fills_up_again_as_time_goes_and_no_further() -> None:
    clock = Clock()
    buckets = Buckets(60, burst=5, clock=clock)
    assert taken(buckets, "ada") == 5
    assert buckets.take("ada") == 1
    clock.now += 0.75
    assert buckets.take("ada") == 0.25
    clock.now += 0.25
    assert taken(buckets, "ada") == 1
    clock.now += 1000
    assert taken(buckets, "ada") == 5


def test_what_is_given_back_is_there_again_and_no_more_than_that() -> None:
    buckets = Buckets(60, burst=5, clock=Clock())
    buckets.give_back("ada")
    assert taken(buckets, "ada") == 5
    buckets.give_back("ada")
    assert taken(buckets, "ada") == 1


def test_everybody_has_their_own() -> None:
    buckets = Buckets(60, burst=5, clock=Clock())
    assert (taken(buckets, "ada"), taken(buckets, "bob")) == (5, 5)


def test_there_are_not_ever_more_of_them() -> None:
    clock = Clock()
    buckets = Buckets(60, burst=5, clock=clock)
    for number in range(MAX_BUCKETS + 100):
        buckets.take(number)
    assert len(buckets._buckets) == MAX_BUCKETS
    clock.now += 5
    buckets.take("ada")
    assert len(buckets._buckets) == 1
