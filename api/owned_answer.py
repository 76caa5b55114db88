"""The answer of a job that one request owns: it has a status until its first word, and ends when the caller goes."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request, Response

from api.errors import STATUSES, ApiError, from_exception
from api.stream import BARE_PING, HELD_SECONDS, EventStream, Frames, Left, held
from jobs import Job, JobNotFound
from services.web import WebServices

FORESEEN: tuple[type[Exception], ...] = (ApiError, *STATUSES)

ErrorFrame = Callable[[ApiError], bytes]
"""The last event of a door's stream, for what fails behind its headers."""


class Abandoned(ApiError):
    """A door cannot tell the rest of an answer; nobody will read it, so that the job is stopped."""


def nothing() -> bytes:
    return b""


@dataclass(frozen=True, kw_only=True)
class OwnedAnswer:
    """Frames come from the job's door; what they raise before the first has its HTTP status."""

    request: Request
    services: WebServices
    job: Job
    detached: bool = False
    """The caller's leaving does not stop the job."""

    async def whole(self, frames: Frames) -> Response:
        """All frames as one JSON body, however long they take."""
        begun = await self._held(frames, seconds=None)
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
        """`opening`: what is sent with the headers when the first frame is still to come."""
        begun = await self._held(frames, seconds=HELD_SECONDS)
        return EventStream(
            failing_late(_opened(opening, begun), error_frame, stop=self._stop),
            ping_seconds=self.services.settings.sse_ping_seconds,
            ping=ping,
            on_leave=None if self.detached else self._stop,
            headers=self._headers,
        )

    async def _held(self, frames: Frames, *, seconds: float | None) -> Frames:
        try:
            return await held(self.request, frames, seconds=seconds)
        except ApiError as error:
            error.headers |= self._headers
            raise
        except Left:
            if not self.detached:
                await self._stop()
            raise

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-Job-Id": self.job.id}

    async def _stop(self) -> None:
        with contextlib.suppress(JobNotFound):
            await self.services.jobs.cancel(self.job.id, self.job.user)


async def _opened(opening: Callable[[], bytes], begun: Frames) -> Frames:
    async with contextlib.aclosing(begun):
        if first := opening():
            yield first
        async for frame in begun:
            yield frame


async def failing_late(begun: Frames, error_frame: ErrorFrame, *, stop: Callable[[], Awaitable[object]]) -> Frames:
    """The frames of a stream whose headers are out: what they raise becomes the last event."""
    async with contextlib.aclosing(begun):
        try:
            async for frame in begun:
                yield frame
        except Abandoned as error:
            await stop()
            yield error_frame(error)
        except FORESEEN as error:
            yield error_frame(from_exception(error))
