"""A job's log as Server-Sent Events: each log event is one stream event, with its `seq` as the `id`."""

from __future__ import annotations

import contextlib

from api.stream import Frames
from jobs import JobClient, JobEvent, JobNotFound, StoreUnavailable
from jobs.encoding import to_stored


def frame(event: JobEvent) -> str:
    """Sends the stored JSON unparsed, after seq, type and time, because parsing it for each follower is slow."""
    _, seq, kind, at, data = event
    fields = data.lstrip()[1:]
    comma = "" if fields == "}" else ","
    return f'id: {seq}\nevent: {kind}\ndata: {{"seq":{seq},"type":"{kind}","at":{to_stored(at)}{comma}{fields}\n\n'


GONE = b'event: error\ndata: {"error":{"code":"not_found","message":"The job was deleted."}}\n\n'
UNAVAILABLE = b'event: error\ndata: {"error":{"code":"unavailable","message":"The log cannot be read; resume."}}\n\n'


async def frames(jobs: JobClient, job_id: str, user: str, *, after: int) -> Frames:
    """Yields one frame per batch of the log, until the terminal event or the end of this process."""
    try:
        async with contextlib.aclosing(jobs.follow(job_id, user, starting_after=after)) as batches:
            async for batch in batches:
                yield "".join(map(frame, batch)).encode()
    except JobNotFound:
        yield GONE
    except StoreUnavailable:
        yield UNAVAILABLE


def starting_after(last_event_id: str | None, after: str | None) -> int:
    """Returns the seq to start after; 0, the beginning, if the value is not an event's number."""
    text = last_event_id if last_event_id is not None else after or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
