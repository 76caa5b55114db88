"""A job's events as Chainlit steps: one pure rendering for live screens and stored threads.

A turn on the screen is a tree: the user's message, under it one run, and under that the job card and the parts of the
answer. Ids derive from the root job, so a retry replaces its original.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from handlers.card import JobCard
from handlers.changes import AddText, Change, ElementDict, Remove, Show, StepDict, Upsert, merge
from handlers.elements import CARD, artifact_element, card_element, file_element, form_element, is_drawn
from handlers.forms import ToolForm
from handlers.markup import Markup, marked_up
from handlers.words import describe_end, iso
from jobs import JSON, NEEDS_ARGUMENTS, Job, JobEvent
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
    StepStarted,
    StepWaiting,
    Terminal,
    TextDelta,
    UnknownEvent,
)
from jobs.transcript import AnswerChange, Transcript
from names import DIRECT_CALL
from services.prices import NO_PRICES, Prices
from services.web import StoredFile

ASSISTANT = "Longhaul"
MESSAGE_CHARACTERS = 20_000
"""A longer answer continues in another message, because a page renders the whole message again for each piece."""
ARGUMENTS_INVALID = "tool_arguments_invalid"


class TurnScreen:
    """The appearance of a turn after the events fed so far.

    `files` are attached to the message. A job whose task is a tool has a `form`, which offers `choices` for files.
    """

    def __init__(
        self,
        job: Job,
        files: Sequence[StoredFile] = (),
        *,
        form: ToolForm | None = None,
        choices: Sequence[StoredFile] = (),
        prices: Prices = NO_PRICES,
    ) -> None:
        self.job_id = job.id
        self.root_id = job.root_id
        self.turn = job.turn
        self.seq = 0
        """The last event fed; following continues after it."""
        self.ended: Terminal | None = None
        """How the job ended; None before."""
        self.message_id = job.request.key or f"{job.root_id}:message"
        self.run_id = f"{job.root_id}:run"
        self.form = form
        self._job = job
        self._choices = choices
        self._steps: dict[str, StepDict] = {}
        self._elements: dict[str, ElementDict] = {}
        self._drawn: dict[str, ElementDict] = {}  # by name
        self._messages: dict[str, list[str]] = {}  # paragraph → ids of the messages that show its text
        self._markups: dict[str, Markup] = {}  # by paragraph
        self._paragraphs: dict[str, str] = {}  # step → the first step whose text runs on into this one's
        self._end_sentence = ""
        self._transcript = Transcript()
        self.card = JobCard(job, prices)
        self.card_changed = False
        """Whether the card has changed since it was last sent to the page."""
        self._card_shown = False
        self._problems: dict[str, str] = {}  # by field, for arguments that the tool refused
        self._show_request(job)
        for file in files:
            self._show(file_element(file, job.thread_id, self.message_id))

    def steps(self) -> list[StepDict]:
        """Returns all steps of the turn, parents first."""
        return [dict(step) for step in self._steps.values()]

    def elements(self) -> list[ElementDict]:
        """Returns the attached files, the form and the artifacts."""
        return [self._card_element() if is_card(one) else dict(one) for one in self._elements.values()]

    @property
    def answer(self) -> str:
        """The answer as it was written, for a copy: the text of the model, else what a tool returned."""
        return self._transcript.answer or self._end_sentence

    @property
    def end_id(self) -> str:
        """The message with the end of the turn, or with the card that shows it."""
        return self._card_message_id if self.card.wanted else f"{self.root_id}:end"

    @property
    def form_is_open(self) -> bool:
        """Whether the form waits for the user: the job is a draft, or the tool refused its arguments."""
        if self.form is None or self.ended is None:
            return False
        return getattr(self.ended, "reason", None) == NEEDS_ARGUMENTS or bool(self._problems)

    def feed(self, events: Iterable[JobEvent]) -> list[Change]:
        """Takes events in order; returns the changes for a screen that shows all earlier ones."""
        changes: list[Change] = []
        for event, payload in combine_text(events):
            changes += self._render(event, payload)
            self.seq = event.seq
        return merge(changes)

    def note_unserved(self, unserved: bool, at: float) -> list[Change]:
        """Takes whether no running worker has the task of a turn that waits."""
        self.card_changed |= self.card.note_unserved(unserved)
        return self._show_card(at)

    # --- events -----------------------------------------------------------------------------------------------

    def _render(self, event: JobEvent, payload: EventPayload) -> list[Change]:
        self.card_changed |= self.card.feed(event, payload)
        screen = self._screen(event, payload)
        return [*self._show_card(event.at), *screen]

    def _screen(self, event: JobEvent, payload: EventPayload) -> list[Change]:
        answer = self._transcript.feed(payload)
        match payload:
            case TextDelta():
                return [] if answer is None else self._answer(answer, event.at)
            case StepFinished(step=step):
                self._note_problems(payload)
                changes = [] if answer is None else self._answer(answer, event.at)
                drawn = [] if step == DIRECT_CALL else self._draw(event.at)  # that ends with its job
                return changes + self._hide_cursor(step, event.at) + drawn
            case Artifact(name=name):
                if is_drawn(payload):
                    self._drawn[name] = artifact_element(payload, self._job, self._drawn_id, version=event.seq)
                return []
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                self.ended = payload
                return self._end(payload, event.at)
            case JobEdited(input=words):
                return [self._patch(self.message_id, output=words)]
            case JobQueued() | JobStarted() | JobCancelling() | StepStarted() | StepWaiting():
                return []
            case Progress() | Log() | Plan() | Source() | UnknownEvent():
                return []
            case _:
                assert_never(payload)

    def _show_card(self, at: float) -> list[Change]:
        """Shows the card when the turn first needs one, and in its final state. Changes are sent separately."""
        if not self.card.wanted or (self._card_shown and self.ended is None):
            return []
        changes: list[Change] = []
        if not self._card_shown and self.form is None:
            changes.append(self._put(self._new(self._card_message_id, "assistant_message", ASSISTANT, self.run_id, at)))
        self._card_shown = True
        return [*changes, self._show(self._card_element())]

    def _card_element(self) -> ElementDict:
        return card_element(self.card, self.root_id, self._job.thread_id, self._card_message_id)

    @property
    def _card_message_id(self) -> str:
        return f"{self.root_id}:card:message" if self.form is None else self._form_id

    def _answer(self, change: AnswerChange, at: float) -> list[Change]:
        path, closed = self._paragraph(change.step, at)
        if path in self._messages and not change.withdrew:
            return self._append(path, self._markups[path].feed(change.text), at)
        changes: list[Change] = closed + self._clear(path)
        text = self._text_of(path)
        if not text:
            return changes
        # The first message of a step keeps its id, so that the new attempt's text replaces it in place.
        first = f"{self.root_id}:{path}"
        self._messages[path] = [first]
        self._markups[path] = Markup()
        step = self._new(first, "assistant_message", ASSISTANT, self.run_id, at)
        step.update(output=self._markups[path].feed(text.lstrip("\n")), streaming=True)
        return [change for change in changes if change != Remove(first)] + [self._put(step)]

    def _paragraph(self, path: str, at: float) -> tuple[str, list[Change]]:
        """Returns the step's paragraph, and what ends the one before. What an agent writes in several steps is one."""
        if path in self._paragraphs:
            return self._paragraphs[path], []
        before = next(reversed(self._paragraphs), None)
        first = path
        if before is not None and self._is_written(path) and self._is_written(before):
            first = self._paragraphs[before]
        self._paragraphs[path] = first
        ended = before is not None and self._is_written(before) and first == path
        return first, self._close(self._paragraphs[before], at) if before is not None and ended else []

    def _is_written(self, path: str) -> bool:
        return self._transcript.steps[path].started.kind == "text"

    def _text_of(self, paragraph: str) -> str:
        steps = [path for path, first in self._paragraphs.items() if first == paragraph]
        return "".join(piece for path in steps for piece in self._transcript.steps[path].pieces)

    def _hide_cursor(self, path: str, at: float) -> list[Change]:
        return [] if path in self._paragraphs and self._is_written(path) else self._close(path, at)

    def _close(self, path: str, at: float) -> list[Change]:
        if path not in self._messages:
            return []
        rest = self._append(path, self._markups[path].close(), at)
        return [*rest, self._patch(self._messages[path][-1], streaming=False)]

    def _draw(self, at: float) -> list[Change]:
        """Shows the charts, tables and pictures that are new. Other files are on the card."""
        new = [one for one in self._drawn.values() if self._elements.get(one["id"]) != one]
        if not new:
            return []
        changes: list[Change] = []
        if self._drawn_id not in self._steps:
            changes.append(self._put(self._new(self._drawn_id, "assistant_message", ASSISTANT, self.run_id, at)))
        return changes + [self._show(one) for one in new]

    def _draw_below_the_answer(self, at: float) -> list[Change]:
        """Shows at the end all that is drawn below the last words, which tell of it."""
        last = [message for messages in self._messages.values() for message in messages][-1:]
        ending = f"{self.root_id}:end"
        below = ending if ending in self._steps else last[0] if last else ""
        if not (self._drawn and below):
            return self._draw(at)
        changes: list[Change] = [self._show({**one, "forId": below}) for one in self._drawn.values()]
        if self._steps.pop(self._drawn_id, None) is not None:
            changes.append(Remove(self._drawn_id))
        return changes

    @property
    def _drawn_id(self) -> str:
        return f"{self.root_id}:drawn"

    def _end(self, end: Terminal, at: float) -> list[Change]:
        running = [path for path, (*_, last) in self._messages.items() if self._steps[last]["streaming"]]
        changes = [change for path in running for change in self._close(path, at)]
        sentence = self._end_sentence = describe_end(end, answered=bool(self._messages), on_card=self.card.wanted)
        if self.form_is_open:
            self.card.leave_to_form()
            changes.append(self._show(self._form_element(is_open=True)))
        elif sentence:
            step = self._new(f"{self.root_id}:end", "assistant_message", ASSISTANT, self.run_id, at)
            step.update(output=marked_up(sentence), isError=isinstance(end, JobFailedEvent))
            changes.append(self._put(step))
        changes += self._draw_below_the_answer(at)
        changes.append(self._patch(self.run_id, end=iso(at)))
        return changes

    def _note_problems(self, finished: StepFinished) -> None:
        """Keeps what the tool of the form found wrong with its arguments."""
        error = finished.error or {}
        if self.form is not None and finished.step == DIRECT_CALL and error.get("code") == ARGUMENTS_INVALID:
            self._problems = self.form.at_fields(error.get("fields") or {}, otherwise=error["message"])

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

    def _append(self, path: str, text: str, at: float) -> list[Change]:
        if not text:
            return []
        current = self._steps[self._messages[path][-1]]
        if len(current["output"]) > MESSAGE_CHARACTERS and "\n\n" in text:
            head, text = text.split("\n\n", 1)
            current["output"] += head
            further = f"{self.root_id}:{path}#{len(self._messages[path])}"
            self._messages[path].append(further)
            step = self._new(further, "assistant_message", ASSISTANT, self.run_id, at)
            step.update(output=text, streaming=True)
            return [AddText(current["id"], head), self._patch(current["id"], streaming=False), self._put(step)]
        current["output"] += text
        return [AddText(current["id"], text)]

    def _clear(self, path: str) -> list[Change]:
        """Removes the withdrawn text of a step."""
        gone = self._messages.pop(path, [])
        for one in gone:
            self._steps.pop(one, None)
        return [Remove(one) for one in gone]

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
            "end": None,  # explicit, because a page keeps fields that a repeated step omits
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


def is_card(element: ElementDict) -> bool:
    return (element["type"], element["name"]) == ("custom", CARD)


def combine_text(events: Iterable[JobEvent]) -> Iterator[tuple[JobEvent, EventPayload]]:
    """Combines consecutive text of a step: piece by piece, rendering a long answer takes quadratic time.

    Text that begins a row or ends a paragraph stays separate, because its position may matter. A combined payload comes
    with the last event of its row.
    """
    row: list[tuple[JobEvent, TextDelta]] = []
    before: EventPayload | None = None
    for event in events:
        payload = event.payload
        if isinstance(payload, TextDelta) and _continues(before, payload):
            row.append((event, payload))
        else:
            yield from _combined(row)
            row = []
            yield event, payload
        before = payload
    yield from _combined(row)


def _continues(before: EventPayload | None, delta: TextDelta) -> bool:
    return isinstance(before, TextDelta) and before.step == delta.step and "\n\n" not in delta.text


def _combined(row: Sequence[tuple[JobEvent, TextDelta]]) -> Iterator[tuple[JobEvent, TextDelta]]:
    if len(row) == 1:
        yield row[0]
    elif row:
        last, delta = row[-1]
        yield last, TextDelta(step=delta.step, text="".join(one.text for _, one in row))
