"""The host's side: turns the output and tracebacks of tools into lines of the log that name the call."""

import contextlib
import io
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from toolkit.lines import LineFormat, line_of

JSON_OPTION = "--log-json"
"""First on a host's command line, when its lines are to be JSON."""
MAX_LINE = 32_768
"""Characters of a printed line; a longer one is written in pieces."""

Fields = Mapping[str, str | None]
"""Of the call whose code runs: job, tool, call. Empty when no call does, as while tools are loaded."""


class Output(io.TextIOBase):
    """Replaces the host's stdout and stderr. It does not see the output of a tool's child processes."""

    def __init__(self, stream: TextIO, form: LineFormat, call: Callable[[], Fields]) -> None:
        self._stream = stream
        self._form = form
        self._call = call
        self._begun: dict[tuple[str | None, ...], str] = {}  # lines that have no end yet
        self._writing = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def buffer(self) -> object:
        """For bytes, which are written as they are."""
        return self._stream.buffer

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """As `print` calls it: pieces of lines."""
        fields = self._call()
        with self._writing:
            *lines, rest = (self._begun.pop(key_of(fields), "") + text).split("\n")
            if len(rest) >= MAX_LINE:
                lines, rest = [*lines, rest], ""
            if rest:
                self._begun[key_of(fields)] = rest
        for line in lines:
            self.line("info", line, fields)
        return len(text)

    def end(self, fields: Fields) -> None:
        """The call is over: write what it has not ended."""
        with self._writing:
            rest = self._begun.pop(key_of(fields), "")
        if rest:
            self.line("info", rest, fields)

    def line(self, level: str, message: str, fields: Fields, trace: str = "") -> None:
        """Write one line. A failure to write the log does not fail the tool."""
        line = line_of(
            self._form,
            at=time.time(),
            process="tool",
            level=level,
            message=message,
            fields=fields,
            trace=trace.rstrip(),
        )
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._stream.buffer.write(f"{line}\n".encode("utf-8", "replace"))
            self._stream.buffer.flush()


def key_of(fields: Fields) -> tuple[str | None, ...]:
    return tuple(fields.values())


def take_over(form: LineFormat, call: Callable[[], Fields]) -> Output:
    """From now on, what this process prints becomes lines of the log."""
    output = Output(sys.stderr, form, call)
    sys.stdout = sys.stderr = output
    return output
