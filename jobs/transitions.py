"""What a store has changed about jobs, told to whoever listens: log lines, traces, and what comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from jobs.events import EventPayload, JobFailedEvent, JobIncompleteEvent
from jobs.models import Job


class Change(StrEnum):
    """What can happen to a job. The words stand in the log."""

    SUBMITTED = "submitted"
    DRAFTED = "drafted"
    """A person has yet to fill in its form."""
    RETRIED = "retried"
    """Submitted anew; `job` is the new one."""
    CLAIMED = "claimed"
    TAKEN_OVER = "taken over"
    """Claimed from a worker that had begun it."""
    BEGUN_AGAIN = "begun again"
    """By the worker that holds it, because the store failed."""
    CANCEL_REQUESTED = "cancel requested"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One change of one job, which is committed."""

    change: Change
    job: Job
    """As it stands after the change."""
    reason: str | None = None
    """Of an end: the code of the failure, or why the job is incomplete."""


Listener = Callable[[Transition], None]


class Transitions:
    """A store tells it what its calls have changed; each listener hears each transition once.

    Only the process that made a transition hears of it.
    """

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on whatever thread the store commits on; it must not wait, nor raise.

        Returns the function that ends this.
        """
        self._listeners += (listener,)

        def unsubscribe() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

        return unsubscribe

    def tell(self, made: Sequence[Transition]) -> None:
        """Of what is committed, in its order."""
        for transition in made:
            for listener in self._listeners:
                listener(transition)


def reason_of(ending: EventPayload) -> str | None:
    """Why a job ended without having done what it was asked to do."""
    match ending:
        case JobFailedEvent():
            return str(ending.error.get("code"))
        case JobIncompleteEvent():
            return ending.reason
        case _:
            return None
