"""A step of a job that stays open while other code does its work."""

from __future__ import annotations

import asyncio
from typing import Self

from jobs.context import JobContext, Step
from jobs.events import StepKind
from jobs.models import JSON


class OpenStep:
    """`await OpenStep(…).opened()` starts it; then end or leave it."""

    def __init__(self, ctx: JobContext, path: str, *, name: str, kind: StepKind, parent: str | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.path = path
        self._step: asyncio.Future[Step] = loop.create_future()
        self._output: asyncio.Future[JSON] = loop.create_future()
        running = ctx.step(path, self._run, name=name, kind=kind, parent=parent)
        self._task = asyncio.create_task(running, name=path)

    async def opened(self) -> Self:
        """Waits until the step's start is written. Raises the error that prevented it."""
        try:
            await asyncio.wait({self._task, self._step}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.leave()
            raise
        if self._task.done():
            self._task.result()
        return self

    async def end(self, output: JSON) -> None:
        """Writes the checkpoint. A cancelled caller does not interrupt the write."""
        if not self._output.done():
            self._output.set_result(output)
        await asyncio.shield(self._task)

    async def leave(self) -> None:
        """Closes the step without a checkpoint, unless the checkpoint is being written."""
        if not self._output.done():
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, step: Step) -> JSON:
        self._step.set_result(step)
        return await self._output


async def read_back(step: Step) -> JSON:
    """A placeholder for the work of a step whose output is recorded."""
    raise AssertionError(f"{step.path} is recorded and must not run")
