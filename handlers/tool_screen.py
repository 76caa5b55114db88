"""The text of a tool call's step: log and progress while it runs, then log and output."""

from __future__ import annotations


class ToolScreen:
    """The text of one call."""

    LOG_LINES = 12

    def __init__(self, name: str) -> None:
        self.name = name
        self._progress = ""
        self._log: list[str] = []
        self._output: str | None = None

    @property
    def running(self) -> bool:
        return self._output is None

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
