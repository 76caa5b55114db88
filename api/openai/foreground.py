"""Responses whose caller waits. Unlike background ones, they fail with an HTTP status before the first word."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from api.answer import RESTARTING
from api.errors import ApiError, of_failure
from api.openai.response_events import DELETED, ENDS, ResponseEvents, frame
from api.stream import Frames
from jobs import JobEvent, JobNotFound
from jobs.encoding import encode
from jobs.events import JobFailedEvent

Batches = AsyncGenerator[Sequence[JobEvent], None]

FIRST = frozenset({"response.output_text.delta", "response.reasoning_text.delta", *ENDS.values()})
"""The events that start a stream; earlier ones wait for the first of them."""


class ForegroundFrames:
    """Renders batches of events, fed in order. Keeps frames back until the first word, or until `opened` is called."""

    def __init__(self, events: ResponseEvents) -> None:
        self._events = events
        self._kept = b""
        self._open = False

    def feed(self, batch: Sequence[JobEvent]) -> bytes:
        """Returns the frames to send now. Raises `ApiError` when the answer fails before anything was sent."""
        told = [payload for event in batch for payload in self._events.feed(event)]
        self._kept += b"".join(map(frame, told))
        kinds = [payload["type"] for payload in told if payload["type"] in FIRST]
        if not self._open and kinds[:1] == [ENDS["failed"]]:
            raise_failure(self._events)
        return self.opened() if self._open or kinds else b""

    def opened(self) -> bytes:
        """Returns the frames kept back, and keeps none back from now on."""
        self._open = True
        kept, self._kept = self._kept, b""
        return kept

    def error(self, error: ApiError) -> bytes:
        """Returns the last frame of a stream that ends before its answer."""
        return self.opened() + frame(self._events.error(error.code, error.message))


async def streamed(batches: Batches, rendering: ForegroundFrames) -> Frames:
    """Raises `ApiError` when the answer fails before its first word, or the batches end before the answer."""
    ended = False
    try:
        async with contextlib.aclosing(batches):
            async for batch in batches:
                ended = batch[-1].terminal
                if told := rendering.feed(batch):
                    yield told
    except JobNotFound:
        raise of_failure(*DELETED) from None
    if not ended:
        raise of_failure(*RESTARTING)


async def whole(batches: Batches, events: ResponseEvents) -> Frames:
    """Yields one frame when the answer has ended: the JSON of the response.

    Raises `ApiError` when it fails, because clients that read only `output_text` would mistake partial text for it.
    """
    async with contextlib.aclosing(batches):
        async for batch in batches:
            for event in batch:
                events.feed(event)
    raise_failure(events)
    yield encode(events.response())


def raise_failure(events: ResponseEvents) -> None:
    """Raises `ApiError` when the job failed or has not ended."""
    if events.end is None:
        raise of_failure(*RESTARTING)
    if isinstance(events.end, JobFailedEvent):
        raise of_failure(events.end.error["code"], events.end.error["message"])
