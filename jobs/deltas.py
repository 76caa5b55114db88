"""Streamed text on its way to the log: the first piece at once, the rest coalesced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from jobs.errors import EpochStale, JobNotFound
from jobs.events import Payload, TextDelta

FRAME_SECONDS = 0.03
"""Text is written at most this often. All jobs of a worker share the grid, so that one commit serves them all."""
PIECE_CHARACTERS = 4096


class DeltaBuffer:
    """The unwritten text of one job. `append` must keep the order of its calls."""

    def __init__(self, append: Callable[[Sequence[Payload]], asyncio.Future[int]], *, lost: Callable[[], None]) -> None:
        self._append = append
        self._lost = lost
        self._step = ""
        self._text: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._written_at = 0.0
        self.failure: BaseException | None = None
        """Why text could not be written, unless the job was simply taken over."""

    def add(self, step: str, text: str) -> None:
        if not text:
            return
        if step != self._step:
            self.flush()
            self._step = step
        self._text.append(text)
        self._size += len(text)
        loop = asyncio.get_running_loop()
        if self._size >= PIECE_CHARACTERS or (self._timer is None and loop.time() - self._written_at > FRAME_SECONDS):
            self.flush()
        elif self._timer is None:
            next_frame = (loop.time() // FRAME_SECONDS + 1) * FRAME_SECONDS
            self._timer = loop.call_at(next_frame, self.flush)

    def flush(self) -> None:
        """Hand the text to the store now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._text:
            return
        text = "".join(self._text)
        self._text.clear()
        self._size = 0
        self._written_at = asyncio.get_running_loop().time()
        pieces = [text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)]
        written = self._append([TextDelta(step=self._step, text=piece) for piece in pieces])
        written.add_done_callback(self._written)

    def _written(self, written: asyncio.Future[int]) -> None:
        """Nobody awaits the text: a refused write tells the worker that the job is not ours any more."""
        if written.cancelled() or (error := written.exception()) is None:
            return
        if not isinstance(error, (EpochStale, JobNotFound)):
            self.failure = error
        self._lost()
