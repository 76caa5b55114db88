"""The text that an agent itself writes into an answer: a step that stays open while it writes."""

from __future__ import annotations

from collections.abc import Callable

from jobs.context import JobContext
from models.open_step import OpenStep, read_back

BETWEEN_STEPS = "\n\n"
"""Written to the log between the texts of two steps, so that the log alone determines what is shown."""


class Writing(OpenStep):
    """An open step of kind `text`."""

    def __init__(self, ctx: JobContext, path: str, place: int) -> None:
        super().__init__(ctx, path, name="text", kind="text")
        self.place = place
        self._pieces: list[str] = []

    @staticmethod
    async def recorded(ctx: JobContext, path: str) -> str:
        """Returns the text of a step that an earlier attempt has finished."""
        output = await ctx.step(path, read_back, name="text", kind="text")
        return str(output["text"])

    async def write(self, text: str) -> None:
        """Streams the text; waits while the store is behind."""
        step = self._step.result()
        self._pieces.append(text)
        step.text(text)
        if (room := step.room()) is not None:
            await room

    async def restart(self) -> None:
        """Withdraws the text: it is written again."""
        self._pieces.clear()
        await self._step.result().begin_again()

    async def finish(self) -> None:
        """Records the text."""
        await self.end({"text": "".join(self._pieces)})


class Separated:
    """Writes text with a separator before its first piece."""

    def __init__(self, separator: str, write: Callable[[str], None]) -> None:
        self._separator = separator
        self._write = write
        self.begin()

    def begin(self) -> None:
        self._pending = self._separator

    def write(self, text: str) -> None:
        before, self._pending = self._pending, ""
        self._write(before + text)
