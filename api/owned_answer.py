"""The answer of a job that one request owns: early failures set the HTTP status; disconnecting cancels the job."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request, Response

from api.errors import STATUSES, ApiError, from_exception
from api.stream import BARE_PING, FIRST_FRAME_SECONDS, ClientGone, EventStream, Frames, await_first_frame
from jobs import Job, JobNotFound
from services.web import WebServices

KNOWN_ERRORS: tuple[type[Exception], ...] = (ApiError, *STATUSES)

ErrorFrame = Callable[[ApiError], bytes]
"""Renders the last event of a stream that fails after its headers were sent."""


class Abandoned(ApiError):
    """The protocol cannot express the rest of the answer, so the job is cancelled."""


def nothing() -> bytes:
    return b""


@dataclass(frozen=True, kw_only=True)
class OwnedAnswer:
    """Sends a front end's frames. Errors that they raise before the first frame become HTTP errors."""

    request: Request
    services: WebServices
    job: Job
    detached: bool = False
    """The job continues after the caller disconnects."""

    async def whole(self, frames: Frames) -> Response:
        """Returns all frames as one JSON body, however long they take."""
        begun = await self._begin(frames, seconds=None)
        body = b"".join([frame async for frame in begun])
        return Response(body, media_type="application/json", headers=self._headers)

    async def streamed(
        self,
        frames: Frames,
        error_frame: ErrorFrame,
        *,
        opening: Callable[[], bytes] = nothing,
        ping: bytes = BARE_PING,
    ) -> Response:
        """Streams the frames. The bytes of `opening` go out with the headers, before the first frame."""
        begun = await self._begin(frames, seconds=FIRST_FRAME_SECONDS)
        return EventStream(
            failing_late(_with_opening(opening, begun), error_frame, stop=self._cancel),
            ping_seconds=self.services.settings.sse_ping_seconds,
            ping=ping,
            on_leave=None if self.detached else self._cancel,
            headers=self._headers,
        )

    async def _begin(self, frames: Frames, *, seconds: float | None) -> Frames:
        try:
            return await await_first_frame(self.request, frames, seconds=seconds)
        except ApiError as error:
            error.headers |= self._headers
            raise
        except ClientGone:
            if not self.detached:
                await self._cancel()
            raise

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-Job-Id": self.job.id}

    async def _cancel(self) -> None:
        with contextlib.suppress(JobNotFound):
            await self.services.jobs.cancel(self.job.id, self.job.user)


async def _with_opening(opening: Callable[[], bytes], begun: Frames) -> Frames:
    async with contextlib.aclosing(begun):
        if first := opening():
            yield first
        async for frame in begun:
            yield frame


async def failing_late(begun: Frames, error_frame: ErrorFrame, *, stop: Callable[[], Awaitable[object]]) -> Frames:
    """Yields the frames of a stream whose headers were sent; an error becomes the last event."""
    async with contextlib.aclosing(begun):
        try:
            async for frame in begun:
                yield frame
        except Abandoned as error:
            await stop()
            yield error_frame(error)
        except KNOWN_ERRORS as error:
            yield error_frame(from_exception(error))
