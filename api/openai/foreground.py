"""A response that its caller waits for: unlike one in the background, it fails with a status before its first word."""

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

Pages = AsyncGenerator[Sequence[JobEvent], None]

FIRST = frozenset({"response.output_text.delta", *ENDS.values()})
"""What a stream is opened for."""


class ForegroundFrames:
    """Feed the pages in order; their frames are kept back until the first word, or until `opened`."""

    def __init__(self, events: ResponseEvents) -> None:
        self._events = events
        self._kept = b""
        self._open = False

    def feed(self, page: Sequence[JobEvent]) -> bytes:
        """Raises `ApiError` when the answer fails before anything was told."""
        told = [payload for event in page for payload in self._events.feed(event)]
        self._kept += b"".join(map(frame, told))
        kinds = [payload["type"] for payload in told if payload["type"] in FIRST]
        if not self._open and kinds[:1] == [ENDS["failed"]]:
            raise_failure(self._events)
        return self.opened() if self._open or kinds else b""

    def opened(self) -> bytes:
        """What was kept back; from now on nothing is."""
        self._open = True
        kept, self._kept = self._kept, b""
        return kept

    def error(self, error: ApiError) -> bytes:
        """The last frame, of a stream that ends before its answer."""
        return self.opened() + frame(self._events.error(error.code, error.message))


async def streamed(pages: Pages, rendering: ForegroundFrames) -> Frames:
    """Raises `ApiError` when the answer fails without a word, or the pages end before it does."""
    ended = False
    try:
        async with contextlib.aclosing(pages):
            async for page in pages:
                ended = page[-1].terminal
                if told := rendering.feed(page):
                    yield told
    except JobNotFound:
        raise of_failure(*DELETED) from None
    if not ended:
        raise of_failure(*RESTARTING)


async def whole(pages: Pages, events: ResponseEvents) -> Frames:
    """One frame, when the answer has ended: the JSON of the response.

    Raises `ApiError` when it fails: who reads only `output_text` must not take a part for it.
    """
    async with contextlib.aclosing(pages):
        async for page in pages:
            for event in page:
                events.feed(event)
    raise_failure(events)
    yield encode(events.response())


def raise_failure(events: ResponseEvents) -> None:
    if events.end is None:
        raise of_failure(*RESTARTING)
    if isinstance(events.end, JobFailedEvent):
        raise of_failure(events.end.error["code"], events.end.error["message"])
