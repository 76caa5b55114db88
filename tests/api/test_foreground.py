"""A response that its caller waits for: what is kept back, and how it fails early and late."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from api.errors import ApiError
from api.openai.foreground import ForegroundFrames, streamed, whole
from api.openai.response_events import ResponseEvents, frame
from jobs import JobEvent, JobNotFound
from tests.api.test_response_events import ENDS, begun, heading, log, said, started, told

QUEUED, STARTED, BEGUN, SAID, COMPLETED = log(
    started(), begun("model:0"), said("model:0", "a"), ("job.completed", ENDS["job.completed"])
)
(FAILED,) = log(("job.failed", ENDS["job.failed"]))[1:]
(CANCELLED,) = log(("job.cancelled", ENDS["job.cancelled"]))[1:]


def rendering() -> ForegroundFrames:
    return ForegroundFrames(ResponseEvents(heading(background=False)))


def framed(*events: JobEvent) -> bytes:
    return b"".join(map(frame, told(events, background=False)))


def test_nothing_is_told_before_the_first_word_or_an_end() -> None:
    frames = rendering()
    assert [frames.feed([QUEUED]), frames.feed([STARTED, BEGUN])] == [b"", b""]
    assert frames.feed([SAID]) == framed(QUEUED, STARTED, BEGUN, SAID)
    assert rendering().feed([QUEUED, CANCELLED]) == framed(QUEUED, CANCELLED)


def test_an_opened_stream_gives_what_was_kept_back_and_keeps_no_more() -> None:
    frames = rendering()
    assert frames.feed([QUEUED]) == b""
    assert (frames.opened(), frames.opened()) == (framed(QUEUED), b"")
    assert framed(QUEUED) + frames.feed([STARTED]) == framed(QUEUED, STARTED)
    assert b"response.failed" in frames.feed([FAILED])


def test_a_failure_without_a_word_is_an_error_and_behind_one_an_event() -> None:
    with pytest.raises(ApiError) as failure:
        rendering().feed([QUEUED, FAILED])
    assert failure.value.status == 429
    assert rendering().feed([QUEUED, BEGUN, SAID, FAILED]) == framed(QUEUED, BEGUN, SAID, FAILED)


def test_the_last_word_of_a_stream_that_cannot_go_on_is_an_error_event() -> None:
    frames = rendering()
    frames.feed([QUEUED])
    assert frames.error(ApiError(503, "unavailable", "Ask again.")) == framed(QUEUED) + (
        b'event: error\ndata: {"type":"error","code":"unavailable","message":"Ask again.","param":null,'
        b'"sequence_number":1}\n\n'
    )


async def given(*pages: Sequence[JobEvent], deleted: bool = False) -> AsyncGenerator[Sequence[JobEvent], None]:
    for page in pages:
        yield page
    if deleted:
        raise JobNotFound("job_x")


@pytest.mark.parametrize(("deleted", "code"), [(False, "unavailable"), (True, "not_found")])
async def test_a_stream_without_an_end_is_an_error(deleted: bool, code: str) -> None:
    frames = streamed(given([QUEUED, BEGUN, SAID], deleted=deleted), rendering())
    assert await anext(frames) == framed(QUEUED, BEGUN, SAID)
    with pytest.raises(ApiError) as failure:
        await anext(frames)
    assert failure.value.code == code


@pytest.mark.parametrize(("end", "status"), [([], 503), ([FAILED], 429)])
async def test_a_whole_response_without_a_good_end_is_an_error(end: list[JobEvent], status: int) -> None:
    with pytest.raises(ApiError) as failure:
        await anext(whole(given([QUEUED, BEGUN, SAID], end), ResponseEvents(heading(background=False))))
    assert failure.value.status == status


async def test_a_stream_and_a_whole_response_end_with_the_job() -> None:
    log_of_it = [QUEUED, STARTED, BEGUN, SAID, COMPLETED]
    assert [piece async for piece in streamed(given(log_of_it), rendering())] == [framed(*log_of_it)]
    (body,) = [piece async for piece in whole(given(log_of_it), ResponseEvents(heading(background=False)))]
    assert b'"status":"completed"' in body
