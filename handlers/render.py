"""A job's events as Chainlit steps: one pure rendering, for live screens and for stored threads alike.

A turn on the screen is a tree: the person's message, under it one run, under that the tool calls and the pieces of the
answer. Ids are made of the root job's, so that a retry writes into its original's place.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from handlers.changes import Append, Change, ElementDict, Remove, Show, StepDict, Upsert, merge
from handlers.elements import artifact_element, file_element, form_element
from handlers.forms import ToolForm
from handlers.tool_screen import ToolScreen
from handlers.words import describe_end, describe_progress, iso, tool_output
from jobs import JSON, NEEDS_ARGUMENTS, Job, JobEvent
from services.web import StoredFile

ASSISTANT = "Longhaul"
MESSAGE_CHARACTERS = 20_000
"""A longer answer goes on in a further message: a page renders a whole message again for each piece of its text."""
DIRECT_CALL = "call:0"
"""The one step of a job that is a tool call itself."""
ARGUMENTS_INVALID = "tool_arguments_invalid"


class TurnScreen:
    """What a turn looks like after the events fed so far.

    `files` came with the message. `form`: the job is a tool's, and these are its parameters; `choices` are the files
    that it may be given.
    """

    def __init__(
        self,
        job: Job,
        files: Sequence[StoredFile] = (),
        *,
        form: ToolForm | None = None,
        choices: Sequence[StoredFile] = (),
    ) -> None:
        self.job_id = job.id
        self.root_id = job.root_id
        self.turn = job.turn
        self.seq = 0
        """The last event fed: follow from here."""
        self.ended: JobEvent | None = None
        """The terminal event."""
        self.message_id = job.request.key or f"{job.root_id}:message"
        self.run_id = f"{job.root_id}:run"
        self.form = form
        self._job = job
        self._choices = choices
        self._steps: dict[str, StepDict] = {}
        self._elements: dict[str, ElementDict] = {}
        self._messages: dict[str, list[str]] = {}  # model step → ids of the messages that show its text
        self._withdrawn: set[str] = set()
        self._tools: dict[str, ToolScreen] = {}
        self._problems: dict[str, str] = {}  # by field, of arguments that the tool refused
        self._show_request(job)
        for file in files:
            self._show(file_element(file, job.thread_id, self.message_id))

    def steps(self) -> list[StepDict]:
        """The whole turn, parents first."""
        return [dict(step) for step in self._steps.values()]

    def elements(self) -> list[ElementDict]:
        """The files that came with the message, the form, what the tools made."""
        return [dict(element) for element in self._elements.values()]

    @property
    def form_is_open(self) -> bool:
        """It waits for a person: the job is a draft, or its arguments were refused."""
        if self.form is None or self.ended is None:
            return False
        return self.ended.data.get("reason") == NEEDS_ARGUMENTS or bool(self._problems)

    def form_again(self) -> ElementDict:
        """The form of a job that has ended, open once more: a person wants other arguments. Shown on one page only."""
        element = self._form_element(is_open=False)
        element["props"]["again"] = uuid.uuid4().hex
        return element

    def feed(self, events: Iterable[JobEvent]) -> list[Change]:
        """Take events in order; gives what to do on a screen that shows all before them."""
        changes: list[Change] = []
        for event in joined(events):
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
            tool = self._tools[path] = ToolScreen(event.data["name"])
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

    def _on_artifact(self, event: JobEvent) -> list[Change]:
        path = event.data.get("step") or self._calling()
        message_id = f"{self.root_id}:{path}:files"
        changes: list[Change] = []
        if message_id not in self._steps:
            changes.append(self._put(self._new(message_id, "assistant_message", ASSISTANT, self.run_id, event.at)))
        return [*changes, self._show(artifact_element(event, self._job, message_id))]

    def _on_step_finished(self, event: JobEvent) -> list[Change]:
        path = event.data["step"]
        if path in self._tools:
            return self._finish_tool(path, event)
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
        if self.form_is_open:
            changes.append(self._show(self._form_element(is_open=True)))
        elif sentence:
            step = self._new(f"{self.root_id}:end", "assistant_message", ASSISTANT, self.run_id, event.at)
            step.update(output=sentence, isError=event.type == "job.failed")
            changes.append(self._put(step))
        changes.append(self._patch(self.run_id, end=iso(event.at)))
        return changes

    def _finish_tool(self, path: str, event: JobEvent) -> list[Change]:
        tool = self._tools[path]
        output, failed = tool_output(event.data)
        tool.finish(output)
        error = event.data.get("error") or {}
        if self.form is not None and path == DIRECT_CALL and error.get("code") == ARGUMENTS_INVALID:
            self._problems = self.form.at_fields(error.get("fields") or {}, otherwise=error["message"])
        name = f"with an error: {tool.name}" if failed else tool.name  # behind the page's own "Finished"
        shown = {"name": name, "output": tool.text(), "end": iso(event.at), "isError": failed, "defaultOpen": False}
        return [self._patch(f"{self.root_id}:{path}", **shown)]

    # --- the tree ---------------------------------------------------------------------------------------------

    def _show_request(self, job: Job) -> None:
        message = self._new(self.message_id, "user_message", job.user, None, job.created_at)
        message["output"] = job.request.input or ""
        if self.form is not None:
            message["command"] = job.request.task
        self._put(message)
        run = self._new(self.run_id, "run", "on_message", self.message_id, job.created_at)
        run["start"] = iso(job.created_at)
        self._put(run)
        if self.form is not None:
            self._put(self._new(self._form_id, "assistant_message", ASSISTANT, self.run_id, job.created_at))
            self._show(self._form_element(is_open=False))

    @property
    def _form_id(self) -> str:
        return f"{self.root_id}:form:message"

    def _form_element(self, *, is_open: bool) -> ElementDict:
        assert self.form is not None
        return form_element(
            self.form, self._job, self._form_id, is_open=is_open, problems=self._problems, files=self._choices
        )

    def _calling(self) -> str:
        """The call that makes a file now: the last one that runs. A retry's log begins with files of its original."""
        running = [path for path, tool in self._tools.items() if tool.running] or [*self._tools]
        return running[-1] if running else DIRECT_CALL

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

    def _tell_tool(self, event: JobEvent, tell: Callable[[ToolScreen], None]) -> list[Change]:
        path = self._tool_of(event.data.get("step") or "")
        if path is None:
            return []
        tell(self._tools[path])
        return [self._patch(f"{self.root_id}:{path}", output=self._tools[path].text())]

    def _show(self, element: ElementDict) -> Show:
        self._elements[element["id"]] = element
        return Show(dict(element))

    def _new(self, step_id: str, kind: str, name: str, parent: str | None, at: float) -> StepDict:
        return {
            "id": step_id,
            "threadId": self._job.thread_id,
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


def joined(events: Iterable[JobEvent]) -> Iterator[JobEvent]:
    """Text of one step in a row as one event: piece by piece, a long answer takes time by the square of its length.

    What a piece does may depend on where it is if it begins a row or ends a paragraph: those stay by themselves.
    """
    row: list[JobEvent] = []
    before: JobEvent | None = None
    for event in events:
        if before is not None and _goes_on(before, event):
            row.append(event)
        else:
            yield from _one(row)
            row = []
            yield event
        before = event
    yield from _one(row)


def _goes_on(before: JobEvent, event: JobEvent) -> bool:
    if before.type != "text.delta" or event.type != "text.delta" or "\n\n" in event.data["text"]:
        return False
    same_step: bool = before.data["step"] == event.data["step"]
    return same_step


def _one(row: Sequence[JobEvent]) -> Iterator[JobEvent]:
    if row:
        text = "".join(event.data["text"] for event in row)
        yield replace(row[-1], data={**row[-1].data, "text": text})
