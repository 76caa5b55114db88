"""The answer on standard output, each word once unless printed text is withdrawn."""

from collections.abc import Callable, Mapping
from typing import Any, TextIO

from jobs.events import EventPayload, JobCompleted, JobIncompleteEvent
from jobs.transcript import Transcript
from scripts.terminal.following import Notice
from scripts.terminal.words import as_json, printable

WITHDRAWN = "A step was interrupted and wrote different text. The text above is withdrawn; the answer begins again:"


class Answer:
    """Prints the answer of events fed in order. Text that a resumed step repeats word for word is not printed again."""

    def __init__(self, out: TextIO, notice: Notice, make_room: Callable[[], None]) -> None:
        self.transcript = Transcript()
        self._out = out
        self._notice = notice
        self._make_room = make_room
        self._printed: list[str] = []
        self._is_in_mid_line = False
        self._is_behind = False
        """Whether a step started again and has not yet written as much as was printed."""

    def feed(self, payload: EventPayload) -> None:
        """Prints what the event adds to the answer; a result without any text is printed itself."""
        change = self.transcript.feed(payload)
        result = payload.result if isinstance(payload, JobCompleted | JobIncompleteEvent) else None
        self._is_behind |= change is not None and change.withdrew
        if self._is_behind:
            self._catch_up(whole=self.transcript.end is not None)
        elif change is not None:
            self._print(change.text)
        if result is not None and not self._printed:
            self._print(in_words(result))

    def end_line(self) -> None:
        """Begins a new line, unless the cursor is at the start of one."""
        if self._is_in_mid_line:
            self._write("\n")
            self._is_in_mid_line = False

    def _catch_up(self, *, whole: bool) -> None:
        text, printed = self.transcript.answer, "".join(self._printed)
        if not whole and text != printed and printed.startswith(text):
            return
        if not text.startswith(printed):
            self.end_line()
            self._notice(WITHDRAWN)
            self._printed, printed = [], ""
        self._is_behind = False
        self._print(text.removeprefix(printed))

    def _print(self, text: str) -> None:
        if text:
            self._make_room()
            self._printed.append(text)
            self._write(printable(text) if self._out.isatty() else text)
            self._is_in_mid_line = not text.endswith("\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def in_words(result: Any) -> str:
    """Returns a result as people read it: its summary if it has one."""
    if isinstance(result, Mapping):
        texts = [result[name] for name in ("summary", "text") if isinstance(result.get(name), str)]
        result = texts[0] if texts else result
    return result if isinstance(result, str) else as_json(result)
