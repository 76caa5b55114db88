"""Text on its way to the log: the first piece at once, few jobs as soon as they may, many of them together."""

import asyncio
from collections.abc import Sequence

from jobs.deltas import MAX_EARLY_WRITERS, TICK_SECONDS, DeltaBuffer, Ticks
from jobs.events import Payload, TextDelta
from tests.waiting import until


class Job:
    """Notes what was written, and when."""

    def __init__(self, ticks: Ticks) -> None:
        self.written: list[tuple[float, str]] = []
        self.buffer = DeltaBuffer(self._write, ticks=ticks)

    def _write(self, payloads: Sequence[Payload]) -> None:
        now = asyncio.get_running_loop().time()
        self.written += [(now, payload.text) for payload in payloads if isinstance(payload, TextDelta)]

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.written)


async def tick_begins() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep((loop.time() // TICK_SECONDS + 1) * TICK_SECONDS - loop.time())


async def test_the_first_piece_of_every_job_is_written_at_once() -> None:
    ticks = Ticks()
    jobs = [Job(ticks) for _ in range(10 * MAX_EARLY_WRITERS)]
    for job in jobs:
        job.buffer.add("m", "first")
    assert all(job.text == "first" for job in jobs)


async def test_pieces_of_one_job_that_come_close_together_are_one() -> None:
    job = Job(Ticks())
    for piece in "abc":
        job.buffer.add("m", piece)
    await until(lambda: job.text == "abc", within=30, what="the rest is written")
    assert [text for _, text in job.written] == ["a", "bc"]


async def test_of_many_jobs_few_write_at_once_and_the_rest_together() -> None:
    ticks = Ticks()
    jobs = [Job(ticks) for _ in range(10 * MAX_EARLY_WRITERS)]
    for job in jobs:
        job.buffer.add("m", "1")
    await asyncio.sleep(2 * TICK_SECONDS)
    await tick_begins()
    for job in jobs:
        job.buffer.add("m", "2")
    assert sum(job.text == "12" for job in jobs) == MAX_EARLY_WRITERS
    await until(lambda: all(job.text == "12" for job in jobs), within=30, what="the rest is written")
    last = [job.written[-1][0] for job in jobs[MAX_EARLY_WRITERS:]]
    assert max(last) - min(last) < TICK_SECONDS / 2, "they did not wait for one another"


async def test_what_waits_is_written_before_what_follows_it() -> None:
    job = Job(Ticks())
    for piece in "abc":
        job.buffer.add("m", piece)
    job.buffer.add("n", "d")
    job.buffer.flush()
    assert job.text == "abcd"
    await asyncio.sleep(2 * TICK_SECONDS)
    assert job.text == "abcd"
