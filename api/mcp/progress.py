"""A call that waits: a pure function from the events of its job to the messages of its stream."""

from __future__ import annotations

from api.mcp.messages import Call, Payload, notification, response
from api.mcp.tasks import result
from jobs import Job, JobEvent
from jobs.events import Progress, StepStarted
from jobs.transcript import Transcript
from names import CHAT, DIRECT_CALL


class CallMessages:
    """Feed the job's events in order from the first. The last message is the response to the call."""

    def __init__(self, call: Call, job: Job, *, base_url: str) -> None:
        self._call = call
        self._job = job
        self._base_url = base_url
        self._transcript = Transcript()
        self._told = -1.0

    def feed(self, event: JobEvent) -> Payload | None:
        self._transcript.feed(event.payload)
        end = self._transcript.end
        if end is not None:
            artifacts = self._transcript.artifacts.values()
            return response(self._call, result(self._job, end, artifacts, base_url=self._base_url))
        return self._progress(event)

    def _progress(self, event: JobEvent) -> Payload | None:
        """A tool's own report is passed on unchanged; the chat's steps are counted. The number must always increase."""
        match event.payload:
            case Progress(step=step, done=done, total=total, message=message) if step == DIRECT_CALL:
                return self._notify(done, total, message)
            case StepStarted(name=name, parent=None) if self._job.request.task == CHAT:
                return self._notify(self._told + 1, None, name)
        return None

    def _notify(self, done: float, total: float | None, message: str) -> Payload | None:
        if self._call.progress_token is None or done <= self._told:
            return None
        self._told = done
        told: Payload = {"progressToken": self._call.progress_token, "progress": done}
        told |= {} if total is None else {"total": total}
        return notification("notifications/progress", told | ({"message": message} if message else {}))
