"""Prints the answer on standard output, each word once unless printed text is withdrawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from jobs import JobEvent
from jobs.events import JobCompleted, JobIncompleteEvent
from jobs.transcript import Transcript
from scripts.terminal.following import Notice
from scripts.terminal.words import printable

WITHDRAWN = "A step was interrupted and wrote different text. The text above is withdrawn; the answer begins again:"


class Answer:
    """Prints the answer of events fed in order. Text that a resumed step repeats word for word is not printed again."""

    def __init__(self, out: TextIO, notice: Notice, make_room: Callable[[], None]) -> None:
        self._out = out
        self._notice = notice
        self._make_room = make_room
        self._in_terminal = out.isatty()
        self._transcript = Transcript()
        self._printed: list[str] = []
        self._in_mid_line = False
        self._behind = False
        """Whether a step began anew and has not yet written as much as was printed."""

    def feed(self, event: JobEvent) -> None:
        change = self._transcript.feed(event.payload)
        self._behind |= change is not None and change.withdrew
        if self._behind:
            self._catch_up(whole=False)
        elif change is not None:
            self._print(change.text)
        if isinstance(event.payload, JobCompleted | JobIncompleteEvent):
            self._end(event.payload.result)

    def _catch_up(self, *, whole: bool) -> None:
        text, printed = self._transcript.answer, "".join(self._printed)
        if printed.startswith(text) and text != printed and not whole:
            return
        if not text.startswith(printed):
            self.end_line()
            self._notice(WITHDRAWN)
            self._printed, printed = [], ""
        self._behind = False
        self._print(text[len(printed) :])

    def _end(self, result: Any) -> None:
        if self._behind:
            self._catch_up(whole=True)
        if not self._printed and result is not None:
            self._print(in_words(result))

    def _print(self, text: str) -> None:
        if text:
            self._make_room()
            self._printed.append(text)
            self._write(printable(text) if self._in_terminal else text)
            self._in_mid_line = not text.endswith("\n")

    def end_line(self) -> None:
        if self._in_mid_line:
            self._write("\n")
            self._in_mid_line = False

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def in_words(result: Any) -> str:
    """Returns a result as people read it: its summary if it has one."""
    if isinstance(result, Mapping):
        for name in ("summary", "text"):
            if isinstance(result.get(name), str):
                return str(result[name])
    return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)
