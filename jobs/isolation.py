"""Jobs that may have caused their workers' deaths: each runs in a separate worker, where it cannot harm others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from jobs.rules import JobHead, isolated
from jobs.store import JobStore

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
START_SECONDS = 60.0
"""If no separate worker has started a suspect by then, it continues among the other jobs."""


class Isolation:
    """One worker's view of the suspects."""

    def __init__(
        self, store: JobStore, start: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`start` starts a worker for one job, unless it is running; it does not wait."""
        self._store = store
        self._start = start
        self._clock = clock
        self._alive: Collection[str] = ()
        self._looked_at = -LOOK_SECONDS
        self._since: dict[str, float] = {}  # suspects without a worker, and since when
        self._together: Collection[str] = ()

    async def among_others(self, alive: Collection[str]) -> Collection[str]:
        """Start workers for suspects without a worker. Returns the ids of suspects that may run among other jobs.

        `alive`: ids of the living workers. Looks once a second, and at once when a worker has died.
        """
        if set(alive) != set(self._alive) or self._clock() - self._looked_at >= LOOK_SECONDS:
            self._alive, self._looked_at = alive, self._clock()
            self._together = self._sorted(await self._store.suspects(), alive)
        return self._together

    def _sorted(self, suspects: Collection[JobHead], alive: Collection[str]) -> Collection[str]:
        apart, together = isolated(suspects, alive)
        now = self._clock()
        self._since = {head.id: self._since.get(head.id, now) for head in apart}
        for job_id, since in self._since.items():
            if now - since >= START_SECONDS:
                together.append(job_id)
            else:
                self._start(job_id)
        return together
