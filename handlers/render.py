"""A job's events as Chainlit steps: one pure rendering, for live screens and for stored threads alike.

A turn on the screen is a tree: the person's message, under it one run, under that the tool calls and the pieces of the
answer. Ids are made of the root job's, so that a retry writes into its original's place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from handlers.words import describe_progress, describe_stopped
from jobs import JSON, Job, JobEvent
from services.web import StoredFile

StepDict = dict[str, Any]
"""Chainlit's own shape of a step."""

ASSISTANT = "Longhaul"
MESSAGE_CHARACTERS = 20_000
"""A longer answer goes on in a further message: a page renders a whole message again for each piece of its text."""


@dataclass(frozen=True)
class Upsert:
    """Show the step, or write these fields over it."""

    step: StepDict


@dataclass(frozen=True)
class Append:
    """Add text to a message."""

    id: str
    text: str


@dataclass(frozen=True)
class Remove:
    id: str


Change = Upsert | Append | Remove


class TurnScreen:
    """What a turn looks like after the events fed so far."""

    def __init__(self, job: Job, files: Sequence[StoredFile] = ()) -> None:
        self.job_id = job.id
        self.root_id = job.root_id
        self.turn = job.turn
        self.seq = 0
        """The last event fed: follow from here."""
        self.ended: JobEvent | None = None
        """The terminal event."""
        self.message_id = job.request.key or f"{job.root_id}:message"
        self.run_id = f"{job.root_id}:run"
        self._thread_id = job.thread_id
        self._files = files
        self._steps: dict[str, StepDict] = {}
        self._messages: dict[str, list[str]] = {}  # model step → ids of the messages that show its text
        self._withdrawn: set[str] = set()
        self._tools: dict[str, _ToolScreen] = {}
        self._show_request(job)

    def steps(self) -> list[StepDict]:
        """The whole turn, parents first."""
        return [dict(step) for step in self._steps.values()]

    def elements(self) -> list[dict[str, Any]]:
        """The files that came with the message."""
        return [file_element(file, self._thread_id, self.message_id) for file in self._files]

    def feed(self, events: Iterable[JobEvent]) -> list[Change]:
        """Take events in order; gives what to do on a screen that shows all before them."""
        changes: list[Change] = []
        for event in events:
            render = getattr(self, "_on_" + event.type.replace(".", "_"), None)
            if render is not None:
                changes += render(event)
            self.seq = event.seq
            if event.terminal:
                self.ended = event
                changes += self._end(event)
        return merge(changes)

    # --- events -----------------------------------------------------------------------------------------------

    def _on_step_started(self, event: JobEvent) -> list[Change]:
        path, kind = event.data["step"], event.data["kind"]
        if kind == "model" and not event.data.get("parent"):
            if self._messages.get(path):
                self._withdrawn.add(path)
            return []
        if kind == "tool":
            tool = self._tools[path] = _ToolScreen(event.data["name"])
            step = self._new(f"{self.root_id}:{path}", "tool", event.data["name"], self.run_id, event.at)
            arguments = event.data.get("input")
            step.update(
                input=json.dumps(arguments, ensure_ascii=False, indent=2) if arguments else "",
                showInput="json" if arguments else False,
                start=iso(event.at),
                output=tool.text(),
                defaultOpen=True,
                autoCollapse=True,
            )
            return [self._put(step)]
        return []

    def _on_text_delta(self, event: JobEvent) -> list[Change]:
        path, text = event.data["step"], event.data["text"]
        if path not in self._withdrawn and path in self._messages:
            return self._append(path, text, event.at)
        changes: list[Change] = self._clear(path)
        if not self._is_answer(path):
            return changes
        # The first message of a step keeps its id, so that the new attempt's text replaces the old one in place.
        first = f"{self.root_id}:{path}"
        self._messages[path] = [first]
        step = self._new(first, "assistant_message", ASSISTANT, self.run_id, event.at)
        step.update(output=text.lstrip("\n"), streaming=True)
        return [change for change in changes if change != Remove(first)] + [self._put(step)]

    def _on_progress(self, event: JobEvent) -> list[Change]:
        return self._tell_tool(event, lambda tool: tool.progress(describe_progress(event.data)))

    def _on_log(self, event: JobEvent) -> list[Change]:
        if event.data.get("step") and self._tool_of(event.data["step"]):
            return self._tell_tool(event, lambda tool: tool.log(event.data["level"], event.data["message"]))
        step = self._new(f"{self.root_id}:note:{event.seq}", "tool", event.data["message"], self.run_id, event.at)
        step.update(start=iso(event.at), end=iso(event.at))
        return [self._put(step)]

    def _on_step_finished(self, event: JobEvent) -> list[Change]:
        path = event.data["step"]
        if path in self._tools:
            output, failed = tool_output(event.data)
            self._tools[path].finish(output)
            step_id = f"{self.root_id}:{path}"
            shown = {"output": self._tools[path].text(), "end": iso(event.at), "isError": failed}
            return [self._patch(step_id, defaultOpen=False, **shown)]
        changes: list[Change] = self._clear(path) if path in self._withdrawn else []
        return changes + [self._patch(one, streaming=False) for one in self._messages.get(path, [])[-1:]]

    def _end(self, event: JobEvent) -> list[Change]:
        changes: list[Change] = [
            self._patch(step["id"], streaming=False) for step in tuple(self._steps.values()) if step.get("streaming")
        ]
        tools = [self._steps[f"{self.root_id}:{path}"] for path in self._tools]
        changes += [
            self._patch(tool["id"], end=iso(event.at), defaultOpen=False) for tool in tools if tool["end"] is None
        ]
        sentence = describe_end(event, answered=bool(self._messages))
        if sentence:
            step = self._new(f"{self.root_id}:end", "assistant_message", ASSISTANT, self.run_id, event.at)
            step.update(output=sentence, isError=event.type == "job.failed")
            changes.append(self._put(step))
        changes.append(self._patch(self.run_id, end=iso(event.at)))
        return changes

    # --- the tree ---------------------------------------------------------------------------------------------

    def _show_request(self, job: Job) -> None:
        message = self._new(self.message_id, "user_message", job.user, None, job.created_at)
        message["output"] = job.request.input if job.request.input is not None else command_line(job)
        self._put(message)
        run = self._new(self.run_id, "run", "on_message", self.message_id, job.created_at)
        run["start"] = iso(job.created_at)
        self._put(run)

    def _append(self, path: str, text: str, at: float) -> list[Change]:
        current = self._steps[self._messages[path][-1]]
        if len(current["output"]) > MESSAGE_CHARACTERS and "\n\n" in text:
            head, text = text.split("\n\n", 1)
            current["output"] += head
            further = f"{self.root_id}:{path}#{len(self._messages[path])}"
            self._messages[path].append(further)
            step = self._new(further, "assistant_message", ASSISTANT, self.run_id, at)
            step.update(output=text, streaming=True)
            return [Append(current["id"], head), self._patch(current["id"], streaming=False), self._put(step)]
        current["output"] += text
        return [Append(current["id"], text)]

    def _clear(self, path: str) -> list[Change]:
        """Take the withdrawn text of a step off."""
        self._withdrawn.discard(path)
        gone = self._messages.pop(path, [])
        for one in gone:
            self._steps.pop(one, None)
        return [Remove(one) for one in gone]

    def _is_answer(self, path: str) -> bool:
        """Text of parts and of a tool's own model calls is never part of the answer: their paths are nested."""
        return "/" not in path

    def _tool_of(self, path: str) -> str | None:
        return next((tool for tool in self._tools if path == tool or path.startswith(f"{tool}/")), None)

    def _tell_tool(self, event: JobEvent, tell: Any) -> list[Change]:
        path = self._tool_of(event.data.get("step") or "")
        if path is None:
            return []
        tell(self._tools[path])
        return [self._patch(f"{self.root_id}:{path}", output=self._tools[path].text())]

    def _new(self, step_id: str, kind: str, name: str, parent: str | None, at: float) -> StepDict:
        return {
            "id": step_id,
            "threadId": self._thread_id,
            "parentId": parent,
            "type": kind,
            "name": name,
            "input": "",
            "output": "",
            "createdAt": iso(at),
            "start": None,
            "end": None,  # said outright: a page keeps what a repeated step does not mention
            "streaming": False,
            "isError": False,
            "metadata": {},
        }

    def _put(self, step: StepDict) -> Upsert:
        self._steps[step["id"]] = step
        return Upsert(dict(step))

    def _patch(self, step_id: str, **fields: JSON) -> Upsert:
        self._steps[step_id].update(fields)
        return Upsert({"id": step_id, **fields})


class _ToolScreen:
    """The text of a tool call's step: its progress and log while it runs, then what it gave."""

    LOG_LINES = 12

    def __init__(self, name: str) -> None:
        self.name = name
        self._progress = ""
        self._log: list[str] = []
        self._output: str | None = None

    def progress(self, line: str) -> None:
        self._progress = line

    def log(self, level: str, message: str) -> None:
        mark = {"warning": "⚠️ ", "error": "❗ "}.get(level, "")
        self._log = [*self._log, f"- {mark}{message}"][-self.LOG_LINES :]

    def finish(self, output: str) -> None:
        self._output = output

    def text(self) -> str:
        parts = ["\n".join(self._log), self._progress if self._output is None else self._output]
        return "\n\n".join(part for part in parts if part)


def merge(changes: Sequence[Change]) -> list[Change]:
    """Text that is appended to one message in a row becomes one change."""
    merged: list[Change] = []
    for change in changes:
        last = merged[-1] if merged else None
        if isinstance(change, Append) and isinstance(last, Append) and last.id == change.id:
            merged[-1] = Append(change.id, last.text + change.text)
        else:
            merged.append(change)
    return merged


def tool_output(finished: Mapping[str, JSON]) -> tuple[str, bool]:
    """A tool call's output as Markdown, and whether it is an error."""
    if "error" in finished:
        return finished["error"]["message"], True
    output = finished.get("output")
    if isinstance(output, dict) and "content" in output:
        return as_markdown(output["content"]), bool(output.get("error"))
    return as_markdown(output), False


def as_markdown(value: JSON) -> str:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    if isinstance(value, dict) and isinstance(value.get("summary"), str):
        return str(value["summary"])
    if isinstance(value, str):
        return value
    return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"


def describe_end(event: JobEvent, *, answered: bool) -> str:
    """What the person is told at the end, besides the answer."""
    if event.type == "job.failed":
        return str(event.data["error"]["message"])
    if event.type == "job.cancelled":
        return describe_stopped(event.data["stopped"])
    if event.type == "job.incomplete":
        return f"The answer is incomplete: {event.data['reason']}."
    result = event.data.get("result")
    if answered or (isinstance(result, dict) and "text" in result and not result["text"]):
        return ""
    return as_markdown(result["text"] if isinstance(result, dict) and "text" in result else result)


def command_line(job: Job) -> str:
    """A tool job as the person would have typed it."""
    arguments = json.dumps(dict(job.request.arguments), ensure_ascii=False) if job.request.arguments else ""
    return f"/{job.request.task} {arguments}".strip()


def file_element(file: StoredFile, thread_id: str | None, message_id: str) -> dict[str, Any]:
    """An uploaded file as a Chainlit element of its message."""
    kind = "image" if file.mime.startswith("image/") else "file"
    return {
        "id": file.id,
        "threadId": thread_id,
        "type": kind,
        "name": file.name,
        "mime": file.mime,
        "display": "inline",
        "forId": message_id,
        "url": f"/project/file/{file.id}",
        "chainlitKey": file.id,
    }


def iso(at: float) -> str:
    """Chainlit's form of a time: UTC, with a Z."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
