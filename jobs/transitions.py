"""The changes that a store makes to jobs, passed to listeners such as log lines and traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from jobs.events import EventPayload, JobFailedEvent, JobIncompleteEvent
from jobs.models import Job


class Change(StrEnum):
    """The transitions of a job. Log lines use these words."""

    SUBMITTED = "submitted"
    DRAFTED = "drafted"
    """Created as a draft, whose form a person fills in."""
    RETRIED = "retried"
    """Submitted again as a retry; `job` is the new job."""
    CLAIMED = "claimed"
    TAKEN_OVER = "taken over"
    """Claimed from a worker that had started it."""
    BEGUN_AGAIN = "begun again"
    """Started again by its holder, because the store had failed."""
    CANCEL_REQUESTED = "cancel requested"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One committed change of one job."""

    change: Change
    job: Job
    """The job after the change."""
    reason: str | None = None
    """For an end: the code of the failure, or why the job is incomplete."""


Listener = Callable[[Transition], None]


class Transitions:
    """Passes each transition that a store has made to each listener, once.

    Only the process that made a transition learns of it here.
    """

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on the thread on which the store commits; it must neither wait nor raise.

        Returns the function that unsubscribes it.
        """
        self._listeners += (listener,)

        def unsubscribe() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

        return unsubscribe

    def tell(self, made: Sequence[Transition]) -> None:
        """Pass on committed transitions, in order."""
        for transition in made:
            for listener in self._listeners:
                listener(transition)


def reason_of(ending: EventPayload) -> str | None:
    """Returns why a job failed or is incomplete; None for other ends."""
    match ending:
        case JobFailedEvent():
            return str(ending.error.get("code"))
        case JobIncompleteEvent():
            return ending.reason
        case _:
            return None
