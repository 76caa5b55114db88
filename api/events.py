"""A job's log as Server-Sent Events: one event of the log is one of the stream, its `seq` the `id`."""

from __future__ import annotations

import contextlib

from api.stream import Frames
from jobs import JobClient, JobEvent, JobNotFound, StoreUnavailable


def frame(event: JobEvent) -> bytes:
    """The stored JSON goes out as it is, behind seq, type and time: nobody pays for reading it."""
    head = f'{{"seq":{event.seq},"type":"{event.type}","at":{event.at!r}'
    fields = event.data.strip()[1:-1]
    data = f"{head},{fields}}}" if fields else f"{head}}}"
    return f"id: {event.seq}\nevent: {event.type}\ndata: {data}\n\n".encode()


GONE = b'event: error\ndata: {"error":{"code":"not_found","message":"The job was deleted."}}\n\n'
UNAVAILABLE = b'event: error\ndata: {"error":{"code":"unavailable","message":"The log cannot be read; resume."}}\n\n'


async def frames(jobs: JobClient, job_id: str, user: str, *, after: int) -> Frames:
    """To the terminal event, or to the end of this process. A page of the log is one piece of the stream."""
    try:
        async with contextlib.aclosing(jobs.follow(job_id, user, starting_after=after)) as pages:
            async for page in pages:
                yield b"".join(map(frame, page))
    except JobNotFound:
        yield GONE
    except StoreUnavailable:
        yield UNAVAILABLE


def starting_after(last_event_id: str | None, after: str | None) -> int:
    """Where to begin; what is no number of an event begins at the beginning."""
    text = last_event_id if last_event_id is not None else after or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
