"""The sentences in which events are told."""

from jobs import events
from scripts.terminal.words import duration


def news(payload: events.Log | events.StepWaiting | events.JobQueued | events.JobCancelling, at: float) -> str:
    """Returns what an event of that time says, empty if nothing. `at` is in Unix seconds."""
    match payload:
        case events.Log(level=level, message=message):
            return message if level == "info" else f"{level}: {message}"
        case events.StepWaiting(reason="slot"):
            return "Waiting until another tool has ended."
        case events.StepWaiting(until=until):
            again = "" if until is None else f"; the next try is in {max(0.0, until - at):.0f} s"
            return f"Waiting for the model endpoint{again}."
        case events.JobQueued(position=position):
            return f"Waiting; {position} before it." if position else ""
        case events.JobCancelling():
            return "Stopping …"


def ending(end: events.Terminal, seconds: float, reason: str | None, again: str) -> str:
    """Returns how the job ended after so many seconds, and if it can go on with which command."""
    match end:
        case events.JobCompleted():
            return f"Completed in {duration(seconds)}."
        case events.JobFailedEvent(error=error):
            return f"Failed: {error['message']} Retry with: {again}"
        case events.JobIncompleteEvent():
            return f"Incomplete: {reason} Retry with: {again}"
        case events.JobCancelled(stopped=stopped):
            named = ", ".join(f"{one['name']} in {one['seconds']:.1f} s" for one in stopped)
            return f"Cancelled; stopped {named}." if named else "Cancelled."
