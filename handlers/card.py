"""The job card: a turn's state, read from the log. The browser adds the text (`public/card.js`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never
from urllib.parse import quote

from handlers.words import describe_reason, tool_output
from jobs import JSON, NEEDS_ARGUMENTS, Job, JobEvent, JobStatus
from jobs.estimates import unit_of
from jobs.events import (
    Artifact,
    EventPayload,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEdited,
    JobFailedEvent,
    JobIncompleteEvent,
    JobQueued,
    JobStarted,
    Log,
    Plan,
    Progress,
    Source,
    StepFinished,
    StepKind,
    StepPayload,
    StepStarted,
    StepWaiting,
    Terminal,
    TextDelta,
    UnknownEvent,
)
from services.prices import NO_PRICES, Prices
from toolkit.artifacts import PLOTLY_MIME, TABLE_MIME, mime_of

ARTIFACTS = "/project/artifact"
"""The route of a job's files."""
DRAWN = {PLOTLY_MIME: "plotly", TABLE_MIME: "dataframe"}
"""Chainlit's kinds of elements, by the type of a file's name."""
REASONING_SECONDS = 1.0
"""Between two changes of the card for more of a model's reasoning."""
MAX_TEXT = 4_000
"""Characters of arguments or of a result that the card shows; the log holds the rest."""
MAX_LINES = 50
"""Log lines of a step that the card shows: the last ones."""
MAX_LINE = 300
"""Characters of each."""
MAX_SOURCES = 200
MAX_EDITED = 20_000
"""Characters of a waiting message that the page offers to edit."""
MAX_REQUEST = 20_000
"""Characters of a request that the card offers to run again."""


OfStep = TextDelta | StepStarted | StepFinished | Progress | Log | StepWaiting | Plan | Source


HIDDEN = ("step", "stalled_after_seconds")
"""Fields of a source that its card does not show."""
MAPPED = re.compile(r"map:\d+(?=/part:)")
"""The path of an agent's map, at the head of its parts' paths."""
NUMBERED = re.compile(r" \d+ of \d+$")


@dataclass(kw_only=True)
class CardStep:
    """One line of the timeline: a model call of the turn, a step of its agent, or a tool call or map, whose parts are
    folded into two numbers."""

    id: str
    kind: StepKind
    name: str
    started_at: float
    seconds: float | None = None
    state: str = "running"
    """`running`, `done`, `failed` or `stopped`."""
    arguments: str = ""
    result: str = ""
    parts: int = 0
    parts_done: int = 0
    log: list[tuple[str, str]] = field(default_factory=list)
    """Level and message of each line."""

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if value not in (None, "", [], 0)}


class JobCard:
    """Feed it the events of a log. `snapshot` is the whole card; `update` is what changed since the last one."""

    def __init__(self, job: Job, prices: Prices = NO_PRICES) -> None:
        self._job = job
        self._prices = prices
        self._head: dict[str, Any] = {
            "job_id": job.id,
            "thread_id": job.thread_id,
            "task": job.request.task,
            "state": "queued",
            "created_at": job.created_at,
        }
        self._steps: dict[str, CardStep] = {}
        self._parts: set[str] = set()  # those inside tools
        self._models: dict[str, str] = {}  # the names of the models, by call, those of tools too
        self._sources: list[dict[str, Any]] = []
        self._sources_told = 0
        self._tokens: dict[str, int] = {}
        self._cost: float | None = 0.0  # None as soon as a model without a price was asked
        self._progress: Progress | None = None
        self._before: Progress | None = None  # the progress of the attempt before, which a new one catches up with
        self._reasoning: dict[str, str] = {}  # step → the last characters of a model's reasoning
        self._reasoned_at = 0.0  # when the card last showed more of it
        self._changed: set[str] = set()
        self._is_draft = job.status is JobStatus.INCOMPLETE and job.started_at is None  # its form shows all there is
        self.wanted = False
        """Whether the turn needs a card: it uses tools, waits, or was interrupted. A plain answer speaks for itself."""

    @property
    def state(self) -> str:
        return str(self._head["state"])

    def snapshot(self) -> dict[str, Any]:
        return {**self._head, "steps": [step.to_json() for step in self._steps.values()], "sources": [*self._sources]}

    def head(self) -> dict[str, Any]:
        """Returns what the dock shows."""
        return dict(self._head)

    def update(self) -> dict[str, Any]:
        """Returns the card with the changed steps only."""
        changed, self._changed = self._changed, set()
        steps = [step.to_json() for path, step in self._steps.items() if path in changed]
        told, self._sources_told = self._sources_told, len(self._sources)
        sources = {"sources": [*self._sources]} if told < len(self._sources) else {}
        return {**self._head, "steps": steps, **sources}

    def feed(self, event: JobEvent, payload: EventPayload) -> bool:
        """Returns whether the card changed, apart from its last sign of life."""
        self._head["last_at"] = event.at
        self._judge_silence(payload, event.at)
        before = (self.state, self._head.get("doing"))
        changed = self._take(payload, event.at)
        return changed or before != (self.state, self._head.get("doing"))

    def _take(self, payload: EventPayload, at: float) -> bool:
        match payload:
            case JobQueued(position=position):
                self._head["ahead"] = position
                if self._job.request.is_turn:
                    self._offer_editing(self._job.request.input or "")
                self.wanted = self.wanted or (position > 0 and not self._is_draft)
            case JobEdited(input=words):
                self._offer_editing(words)
            case JobStarted():
                self._start(payload, at)
            case JobCancelling():
                self._head["state"] = "stopping"
            case Artifact():
                self._keep(payload, at)
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                self._end(payload, at)
            case UnknownEvent():
                return False
            case _:
                return self._take_of_step(payload, at)
        return True

    def _take_of_step(self, payload: OfStep, at: float) -> bool:
        match payload:
            case TextDelta(step=path, text=text):
                self._goes_on(path)
                return self._reason(path, text, at)
            case StepStarted():
                self._start_step(payload, at)
            case StepFinished():
                self._finish_step(payload)
            case Progress():
                self._report(payload, at)
            case Log():
                self._note(payload)
            case StepWaiting():
                self._wait(payload)
            case Plan(step=path, items=items):
                self.wanted = True
                self._head["plan"] = [dict(item) for item in items]
                self._goes_on(path)
            case Source():
                self._cite(payload)
            case _:
                assert_never(payload)
        return True

    def note_unserved(self, unserved: bool) -> bool:
        """Takes whether the job waits because no running worker has its task. Returns whether the card changed."""
        if self.state != "queued" or unserved == ("unserved" in self._head):
            return False
        if unserved:
            self.wanted = True
            self._head["unserved"] = self._job.request.task
        else:
            del self._head["unserved"]
        return True

    def leave_to_form(self) -> None:
        """The turn's form is open again: sending that is its retry."""
        self._head["form_open"] = True

    # --- the job ----------------------------------------------------------------------------------------------

    def _start(self, started: JobStarted, at: float) -> None:
        self._head.setdefault("started_at", at)
        self._head.pop("input", None)
        self._head.pop("unserved", None)
        self.wanted = self.wanted or not self._job.request.is_turn
        self._head["state"] = "working"
        self._head["attempt"] = started.attempt
        if started.after is None:
            return
        self.wanted = True
        self._before = self._progress
        self._head["resumed"] = {
            "at": at - (started.pause_seconds or 0),
            "after": started.after,
            "pause_seconds": started.pause_seconds,
            "kept": started.kept,
            "again": len(_innermost(started.again or ())),
        }

    def _end(self, end: Terminal, at: float) -> None:
        self._head["finished_at"] = at
        self.wanted = self.wanted or (not self._job.request.is_turn and not self._is_draft)
        self._offer_again()
        self._head.pop("input", None)
        self._head.pop("unserved", None)
        self._head.pop("doing", None)
        self._head.pop("until", None)
        for step in self._steps.values():
            self._stop(step, at)
        match end:
            case JobCompleted():
                self._head["state"] = "completed"
                if failed := self._failed_tools():
                    self._head["why"] = f"{', '.join(failed)} failed"
            case JobFailedEvent(error=error):
                self._head["state"] = "failed"
                self._head["why"] = error["message"]
            case JobCancelled(stopped=stopped):
                self._head["state"] = "cancelled"
                seconds = max((float(one["seconds"]) for one in stopped), default=0.0)
                self._head["receipt"] = {
                    "ms": round(1000 * seconds),
                    "what": _stopped(stopped),
                    **self._reached(stopped),
                }
            case JobIncompleteEvent(reason=reason):
                self._head["state"] = "incomplete"
                if reason != NEEDS_ARGUMENTS:
                    self._head["why"] = describe_reason(reason)
            case _:
                assert_never(end)

    def _failed_tools(self) -> list[str]:
        """Names the tools whose last call failed. The answer of a model may hide that."""
        last = {step.name: step.state for step in self._steps.values() if step.kind == "tool"}
        return [name for name, state in last.items() if state == "failed"]

    def _offer_editing(self, words: str) -> None:
        if len(words) <= MAX_EDITED:
            self._head["input"] = words
        else:
            self._head.pop("input", None)

    def _offer_again(self) -> None:
        """Names what a new job needs to do the same, for a tool that a person called."""
        request = self._job.request
        again = {"task": request.task, "arguments": dict(request.arguments), "files": [*request.files]}
        if not request.is_turn and not self._is_draft and len(json.dumps(again)) <= MAX_REQUEST:
            self._head["request"] = again

    def _reached(self, stopped: Sequence[Mapping[str, JSON]]) -> dict[str, Any]:
        """Returns how far the stopped tool got, and in what unit, if it reported that."""
        if self._progress is None or not self._progress.total:
            return {}
        if self._progress.step not in {one["step"] for one in stopped}:
            return {}
        return {"done": self._progress.done, "total": self._progress.total, "unit": unit_of(self._progress)}

    # --- steps ------------------------------------------------------------------------------------------------

    def _start_step(self, started: StepStarted, at: float) -> None:
        path = started.step
        if started.kind in ("tool", "reasoning") or (started.kind == "part" and not started.parent):
            self.wanted = True
        elif started.kind == "model":
            self._models[path] = started.name
            self._stop_reasoning(path, at)
        if started.kind == "text":
            self._do(None, "writing")
            return
        if started.kind == "reasoning":
            self._reasoning.pop(path, None)
        if (whole := self._whole_of(started, at)) is not None:
            if started.kind == "part" and path not in self._parts:
                self._parts.add(path)
                whole.parts += 1
                self._changed.add(whole.id)
            return
        known = self._steps.get(path)
        self._steps[path] = CardStep(
            id=path,
            kind=started.kind,
            name=started.name,
            started_at=at,
            arguments=_cut(json.dumps(started.input, ensure_ascii=False, indent=2)) if started.input else "",
            parts=known.parts if known else 0,
            parts_done=known.parts_done if known else 0,
        )
        self._do(path, _doing(started.kind))

    def _stop(self, step: CardStep, at: float) -> None:
        if step.state == "running":
            step.state, step.seconds = "stopped", round(at - step.started_at, 3)
            self._changed.add(step.id)

    def _stop_reasoning(self, call: str, at: float) -> None:
        """The call begins again, perhaps without the reasoning of its earlier attempt."""
        for step in self._steps.values():
            if step.kind == "reasoning" and step.id.startswith(f"{call}/"):
                self._stop(step, at)

    def _reason(self, path: str, text: str, at: float) -> bool:
        """Takes text of a step; returns whether it is reasoning of which the card now shows more."""
        step = self._steps.get(path)
        if step is None or step.kind != "reasoning":
            return False
        self._reasoning[path] = (self._reasoning.get(path, "") + text)[-MAX_TEXT:]
        if at - self._reasoned_at < REASONING_SECONDS:
            return False
        self._reasoned_at, step.result = at, self._reasoning[path]
        self._changed.add(path)
        return True

    def _whole_of(self, started: StepStarted, at: float) -> CardStep | None:
        """Returns the line into which the step is folded: that of a tool call, or of a map of the agent."""
        if started.parent and (tool := self._tool_of(started.parent)) is not None:
            return tool
        inside = MAPPED.match(started.step)
        if inside is None or started.kind == "tool":
            return None
        whole = inside[0]
        if whole not in self._steps:
            name = NUMBERED.sub("", started.name) if started.kind == "part" else started.name
            self._steps[whole] = CardStep(id=whole, kind="part", name=name, started_at=at)
            self.wanted = True
        step = self._steps[whole]
        step.state = "running"
        return step

    def _judge_silence(self, payload: EventPayload, at: float) -> None:
        if isinstance(payload, TextDelta):
            return
        seconds = payload.stalled_after_seconds if isinstance(payload, StepPayload) else None
        if seconds is None:
            self._head.pop("stalled_at", None)
        else:
            self._head["stalled_at"] = at + seconds

    def _finish_step(self, finished: StepFinished) -> None:
        path = finished.step
        if path in self._models:
            self._count(self._models[path], finished.output)
        if (step := self._steps.get(path)) is None:
            if (whole := self._tool_of(path) or self._map_of(path)) is not None:
                whole.parts_done += path in self._parts
                if whole.kind == "part" and whole.parts_done >= whole.parts:  # more may begin
                    whole.state = "done"
                self._changed.add(whole.id)
                self._goes_on(whole.id)
            return
        text, failed = tool_output(finished) if step.kind == "tool" else ("", finished.error is not None)
        if step.kind == "reasoning":
            text = finished.output["text"]
            self._reasoning.pop(path, None)
        step.seconds, step.result, step.state = finished.seconds, _cut(text), "failed" if failed else "done"
        self._changed.add(path)
        if self._progress is not None and self._progress.step == path:
            self._head.pop("progress", None)
        running = [one for one in self._steps.values() if one.state == "running"]
        if running:
            self._do(running[-1].id, _doing(running[-1].kind))
        else:
            self._do(None, "thinking")

    def _report(self, progress: Progress, at: float) -> None:
        if self._is_behind(progress):
            return
        self._progress, self._before = progress, None
        told: dict[str, Any] = {"done": progress.done, "total": progress.total, "message": progress.message}
        if progress.eta_seconds is not None:
            told |= {"eta": progress.eta_seconds, "at": at}
        self._head["progress"] = told | {"unit": unit_of(progress)}
        self._goes_on(progress.step)

    def _is_behind(self, progress: Progress) -> bool:
        """Whether a tool that began again reports what it had done before its worker died."""
        before = self._before
        return (
            before is not None
            and (before.step, before.total) == (progress.step, progress.total)
            and (progress.done < before.done)
        )

    def _note(self, log: Log) -> None:
        self._goes_on(log.step)
        line = (log.level, log.message[:MAX_LINE])
        step = self._tool_of(log.step) or self._steps.get(log.step or "")
        if step is None:
            self.wanted = True
            self._head["notes"] = [*self._head.get("notes", ()), line][-MAX_LINES:]
        else:
            step.log = [*step.log, line][-MAX_LINES:]
            self._changed.add(step.id)

    def _wait(self, waiting: StepWaiting) -> None:
        self.wanted = True
        if self.state == "stopping":
            return
        self._head["state"] = "waiting"
        self._head["reason"] = waiting.reason
        self._head["until"] = waiting.until

    def _cite(self, source: Source) -> None:
        shown = {name: value for name, value in source.data().items() if name not in HIDDEN}
        if len(self._sources) < MAX_SOURCES and shown not in self._sources:
            self._sources.append(shown)
        self._goes_on(source.step)

    def _keep(self, artifact: Artifact, at: float) -> None:
        if mime_of(artifact.name) in DRAWN:  # below the answer; as files they are of no use
            return
        files = {one["name"]: one for one in self._head.get("files", ())}
        address = artifact_url(self._job, artifact.name, version=int(at * 1000))
        files[artifact.name] = {"name": artifact.name, "size": artifact.size, "url": address}
        self._head["files"] = [*files.values()]

    def _goes_on(self, path: str | None) -> None:
        """A step that waited has given a sign of life; a model that thought now writes."""
        if self.state == "waiting":
            self._head["state"] = "working"
            self._head.pop("until", None)
        step = self._steps.get(path or "")
        if step is not None and step.kind == "model" and self._head.get("doing", {}).get("what") == "thinking":
            self._do(path, "writing")

    def _do(self, path: str | None, what: str) -> None:
        if self.state == "waiting":
            self._head["state"] = "working"
        name = self._steps[path].name if path is not None else ""
        self._head["doing"] = {"what": what, "name": name if what == "tool" else ""}
        if path is not None:
            self._changed.add(path)

    def _map_of(self, path: str) -> CardStep | None:
        inside = MAPPED.match(path)
        return None if inside is None else self._steps.get(inside[0])

    def _tool_of(self, path: str | None) -> CardStep | None:
        """Returns the tool call that a step belongs to."""
        while path:
            if (step := self._steps.get(path)) is not None and step.kind == "tool":
                return step
            path = path.rpartition("/")[0]
        return None

    def _count(self, model: str, output: JSON) -> None:
        usage = output.get("usage") if isinstance(output, dict) else None
        if not isinstance(usage, Mapping):
            return
        for name, count in usage.items():
            if isinstance(count, int):
                self._tokens[name] = self._tokens.get(name, 0) + count
        self._head["tokens"] = dict(self._tokens)
        cost = self._prices.cost(model, usage.get("input_tokens") or 0, usage.get("output_tokens") or 0)
        self._cost = None if cost is None or self._cost is None else self._cost + cost
        if self._cost is not None:
            self._head["cost"] = round(self._cost, 6)
        else:
            self._head.pop("cost", None)


def artifact_url(job: Job, name: str, *, version: int) -> str:
    """Returns an address for each version: the page caches by address, and a file may be replaced."""
    return f"{ARTIFACTS}/{job.id}/{quote(name, safe='')}?version={version}"


def _stopped(steps: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Returns the names of the tools that a cancel stopped; `model` for the turn's own answer."""
    outer = {str(one["step"]): one for one in steps if one["kind"] == "tool" or "/" not in str(one["step"])}
    tools = [str(one["name"]) for one in outer.values() if one["kind"] == "tool"]
    return [*dict.fromkeys(tools)] or (["model"] if outer else [])


def _innermost(paths: Iterable[str]) -> list[str]:
    """Returns the paths that contain no other one."""
    all_paths = [*paths]
    return [path for path in all_paths if not any(other.startswith(f"{path}/") for other in all_paths)]


def _doing(kind: StepKind) -> str:
    return "thinking" if kind in ("model", "reasoning") else "tool"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} …"
