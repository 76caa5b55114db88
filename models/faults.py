"""The meaning of a failed model call: a code, sentences for the user, and the pauses before retries."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.errors import StepFailed

TRANSIENT = (0.4, 0.8, 1.6)
"""Pauses in seconds. Their sum stays below the 3 s for which front ends hold back an answer's HTTP status."""
LIMITED = (2.0, 4.0, 8.0)
"""Pauses in seconds after a refusal for too many requests that has no `Retry-After`."""
ONCE = (0.0,)
MAX_PAUSE_SECONDS = 300.0
"""The longest pause of a patient caller."""
RETRY_AFTER_SECONDS = 30.0
"""A longer `Retry-After` is cut to this, because a user is waiting."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a model call failed."""

    code: str
    """For programs: `model_unreachable`, `model_auth`, …"""
    reason: str
    """A sentence: what happened."""
    advice: str = ""
    """A sentence: what to do."""
    pauses: tuple[float, ...] = ()
    """Seconds before each further attempt while no token has arrived; empty if a retry is useless."""
    retry_after: float | None = None
    """The endpoint's `Retry-After`, in seconds."""
    silent: bool = False
    """The next attempt differs from this one and is made without telling the user."""

    def pause(self, attempt: int, patience_seconds: float = 0.0) -> float | None:
        """Returns the seconds to wait after the failed attempt 0, 1, 2 …; None after the last.

        With patience, the pauses grow until that many seconds have been waited in all.
        """
        own = attempt < len(self.pauses)
        if not own and not (patience_seconds and self.may_last):
            return None
        if self.retry_after is None:
            seconds = self._growing(attempt)
        elif own:
            seconds = min(self.retry_after, MAX_PAUSE_SECONDS if patience_seconds else RETRY_AFTER_SECONDS)
        else:  # not shorter than the time that is counted as waited
            seconds = min(max(self.retry_after, self._growing(attempt)), MAX_PAUSE_SECONDS)
        waited = sum(map(self._growing, range(attempt)))
        return seconds if own or waited + seconds <= patience_seconds else None

    @property
    def may_last(self) -> bool:
        """Whether its pauses grow for a patient caller; other faults are retried a fixed number of times."""
        return bool(self.pauses and self.pauses[-1])

    def _growing(self, attempt: int) -> float:
        more = attempt - len(self.pauses) + 1
        return self.pauses[attempt] if more <= 0 else min(self.pauses[-1] * 2.0 ** min(more, 20), MAX_PAUSE_SECONDS)

    def as_error(self) -> StepFailed:
        return StepFailed(self.code, f"{self.reason} {self.advice}".strip())


class CutShort(Exception):
    """The stream ended cleanly, but without a `finish_reason`: the rest of the answer is missing."""


TRUNCATED = Fault(
    code="model_truncated",
    reason="The model's answer broke off before its end.",
    advice="Retry to ask again.",
    pauses=TRANSIENT,
)
