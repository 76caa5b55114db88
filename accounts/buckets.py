"""Rate limits: one token bucket for each name, in the memory of this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

BURST_SECONDS = 10
MIN_BURST = 20
MAX_BUCKETS = 10_000


@dataclass
class _Bucket:
    tokens: float
    at: float
    """The clock's time when `tokens` was computed; tokens have accrued since."""


class Buckets:
    """Each name has a bucket that fills with `per_minute` tokens a minute up to `burst`; each take costs one token.

    The default burst is ten seconds' worth of tokens, and at least 20.
    """

    def __init__(
        self, per_minute: float, *, burst: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_minute / 60
        self._burst = max(self._per_second * BURST_SECONDS, MIN_BURST) if burst is None else burst
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def take(self, name: Hashable) -> float:
        """Takes one token and returns 0, or returns the seconds until one is available."""
        bucket = self._filled(name)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        return (1 - bucket.tokens) / self._per_second

    def give_back(self, name: Hashable) -> None:
        """Returns a token that was taken for a request without cost."""
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
        """Drops the longest unused buckets: a full one equals a new one, and the number of others must stay bounded."""
        full_after = self._burst / self._per_second
        while len(self._buckets) > 1:
            oldest = next(iter(self._buckets))
            if now - self._buckets[oldest].at < full_after and len(self._buckets) <= MAX_BUCKETS:
                return
            del self._buckets[oldest]
