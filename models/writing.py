"""The text of an answer that an agent writes by itself: a step that is open while it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobs.context import JobContext, Step
from jobs.models import JSON

BETWEEN_STEPS = "\n\n"
"""Written to the log between the texts of two steps, so that the log alone determines what is shown."""


class Writing:
    """An open step of kind `text`. `Writing.begin` opens it; end or leave it."""

    def __init__(self, ctx: JobContext, path: str) -> None:
        self.path = path
        self._pieces: list[str] = []
        self._begun: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(ctx.step(path, self._run, name="text", kind="text"), name=path)

    @classmethod
    async def begin(cls, ctx: JobContext, path: str) -> Writing:
        """Raises the error that kept the step's start from being written."""
        writing = cls(ctx, path)
        try:
            await asyncio.wait({writing._task, writing._begun}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await writing.leave()
            raise
        if writing._task.done():
            writing._task.result()
        return writing

    @staticmethod
    async def recorded(ctx: JobContext, path: str) -> str:
        """Returns the text of a step that an earlier attempt has finished."""
        output = await ctx.step(path, _never, name="text", kind="text")
        return str(output["text"])

    async def write(self, text: str) -> None:
        """Streams the text; waits while the store is behind."""
        step = self._begun.result()
        self._pieces.append(text)
        step.text(text)
        if (room := step.room()) is not None:
            await room

    async def restart(self) -> None:
        """Withdraws the text: it is written again."""
        self._pieces.clear()
        await self._begun.result().begin_again()

    async def end(self) -> None:
        """Writes the checkpoint. A cancelled caller does not interrupt the write."""
        if not self._ended.done():
            self._ended.set_result({"text": "".join(self._pieces)})
        await asyncio.shield(self._task)

    async def leave(self) -> None:
        """Closes the step without a checkpoint, unless that is being written."""
        if not self._ended.done():
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, step: Step) -> JSON:
        self._begun.set_result(step)
        return await self._ended


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


async def _never(step: Step) -> JSON:
    raise AssertionError(f"{step.path} is recorded and must not run")
