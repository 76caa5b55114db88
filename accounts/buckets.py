"""How often somebody may do something: a token bucket for each name, in this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

BURST_SECONDS = 10
SMALLEST_BURST = 20
MOST_BUCKETS = 10_000


@dataclass
class _Bucket:
    tokens: float
    at: float
    """When `tokens` was true; the clock has filled it up since."""


class Buckets:
    """Every name has a bucket that fills with `per_minute` tokens a minute up to `burst`; each take costs one.

    The default burst is what ten seconds bring, and 20 at least.
    """

    def __init__(
        self, per_minute: float, *, burst: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_minute / 60
        self._burst = max(self._per_second * BURST_SECONDS, SMALLEST_BURST) if burst is None else burst
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def take(self, name: Hashable) -> float:
        """Take one token; the seconds to wait until there is one, 0 when it was taken."""
        bucket = self._filled(name)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        return (1 - bucket.tokens) / self._per_second

    def give_back(self, name: Hashable) -> None:
        """A token that was taken for what turned out to cost nothing."""
        bucket = self._filled(name)
        bucket.tokens = min(self._burst, bucket.tokens + 1)

    def _filled(self, name: Hashable) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.pop(name, None) or _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._per_second)
        bucket.at = now
        self._buckets[name] = bucket
        self._forget(now)
        return bucket

    def _forget(self, now: float) -> None:
        """The ones longest unused go: full ones say nothing, and of others there may not be ever more."""
        full_after = self._burst / self._per_second
        while len(self._buckets) > 1:
            oldest = next(iter(self._buckets))
            if now - self._buckets[oldest].at < full_after and len(self._buckets) <= MOST_BUCKETS:
                return
            del self._buckets[oldest]
