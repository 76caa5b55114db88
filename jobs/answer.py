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
        self.length = 0
        """Characters of `text`."""

    @property
    def text(self) -> str:
        return "".join(piece for pieces in self._pieces.values() for piece in pieces)

    def feed(self, event: JobEvent) -> None:
        step = str(event.data.get("step"))
        if event.type == "step.started" and event.data["kind"] == "model" and not event.data.get("parent"):
            if self._pieces.setdefault(step, []):
                self._withdrawn.add(step)
        elif event.type == "text.delta" and step in self._pieces:
            self._drop_if_withdrawn(step)
            self._pieces[step].append(event.data["text"])
            self.length += len(event.data["text"])
        elif event.type == "step.finished" and step in self._pieces:
            self._drop_if_withdrawn(step)

    def _drop_if_withdrawn(self, step: str) -> None:
        if step in self._withdrawn:
            self._withdrawn.discard(step)
            self.length -= sum(map(len, self._pieces[step]))
            self._pieces[step].clear()


def answer_text(events: Iterable[JobEvent]) -> str:
    answer = AnswerText()
    for event in events:
        answer.feed(event)
    return answer.text
