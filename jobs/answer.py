"""The answer of a job, read from its log: the text of the top-level model steps."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.events import JobEvent


class AnswerText:
    """Feed events in order; `text` is the answer so far.

    A repeated `step.started` withdraws the step's text. What was read stays until the new attempt's first text, so
    that a screen never goes blank: the withdrawal takes effect at that text, or when the step ends without any.
    """

    def __init__(self) -> None:
        self._pieces: dict[str, list[str]] = {}
        self._withdrawn: set[str] = set()

    @property
    def text(self) -> str:
        return "".join(piece for pieces in self._pieces.values() for piece in pieces)

    def shows(self, event: JobEvent) -> bool:
        """Whether the event's step is one whose text is part of the answer."""
        return str(event.data.get("step")) in self._pieces

    def feed(self, event: JobEvent) -> bool:
        """Whether the event withdrew text that was there before."""
        step = str(event.data.get("step"))
        if event.type == "step.started" and event.data["kind"] == "model" and not event.data.get("parent"):
            if self._pieces.setdefault(step, []):
                self._withdrawn.add(step)
        elif event.type == "text.delta" and step in self._pieces:
            dropped = self._drop_if_withdrawn(step)
            self._pieces[step].append(event.data["text"])
            return dropped
        elif event.type == "step.finished" and step in self._pieces:
            return self._drop_if_withdrawn(step)
        return False

    def _drop_if_withdrawn(self, step: str) -> bool:
        withdrawn = step in self._withdrawn
        if withdrawn:
            self._withdrawn.discard(step)
            self._pieces[step].clear()
        return withdrawn


def answer_text(events: Iterable[JobEvent]) -> str:
    answer = AnswerText()
    for event in events:
        answer.feed(event)
    return answer.text
