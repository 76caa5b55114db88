"""Late followers: ended jobs read from their beginning, through the API and by browser pages."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.apps import LEAST_SLOTS, Longhaul
from benchmarks.browser import BrowserSession, visit
from benchmarks.figures import Figure, Measured
from benchmarks.parts import Bench, Options, Pair, Part
from benchmarks.stored import opened, word, write_job
from benchmarks.usage import Meter
from jobs.models import Job

PATIENCE_SECONDS = 1_800
READ_BYTES = 1 << 20
END = b"event: job.completed"


class Reading(Longhaul):
    """Longhaul on the SQLite files that were written before its start."""

    database_url = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of what followers catch up with."""

    tokens: int = 100_000
    """Tokens of the long job, whose log has an event for each."""
    screen_tokens: int = 20_000
    """Tokens of the job that a page opens."""
    followers: int = 200
    """Followers of the long job at the same time."""
    turns: int = 50
    """Turns of the thread that is opened again."""
    turn_tokens: int = 400


SHORT = Plan(tokens=1_500, screen_tokens=600, followers=3, turns=3, turn_tokens=20)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The jobs in the store before the server starts."""

    long: Job
    screen: Job
    thread: Sequence[Job]


def prepared(options: Options) -> Part:
    plan = SHORT if options.short else Plan()
    return Part(
        name="catch-up",
        ours=Longhaul.name,
        peer="bare SELECT",
        pairs=options.pairs,
        measure_pair=partial(measure, plan),
    )


async def measure(plan: Plan, bench: Bench) -> Pair:
    """Returns Longhaul's figures, and those of a bare SELECT of the same rows in one process."""
    folder = bench.fresh()
    stored = await _write(folder / "data", plan)
    bare = _select(folder / "data" / "jobs.db", stored.long, plan)
    app = Reading(folder, bench.url, LEAST_SLOTS)
    async with app, asyncio.timeout(PATIENCE_SECONDS):
        bench.ran_with.update(app.ran_with())
        cookie = await visit(app.url)
        measured = await _follow(app, stored.long, 1, plan)
        measured |= await _follow(app, stored.long, plan.followers, plan)
        measured |= await _open(app, cookie, [stored.screen], plan.screen_tokens, f"{plan.screen_tokens:,} events")
        measured |= await _open(app, cookie, [stored.long], plan.tokens, f"{plan.tokens:,} events")
        load = f"{plan.turns} turns of {plan.turn_tokens} tokens"
        measured |= await _open(app, cookie, stored.thread, plan.turn_tokens, load)
    app.check_log()
    return measured, bare


async def _write(data: Path, plan: Plan) -> Stored:
    async with opened(data) as store:
        thread = str(uuid.uuid4())
        return Stored(
            long=await write_job(store, tokens=plan.tokens, thread_id=str(uuid.uuid4())),
            screen=await write_job(store, tokens=plan.screen_tokens, thread_id=str(uuid.uuid4())),
            thread=[await write_job(store, tokens=plan.turn_tokens, thread_id=thread) for _ in range(plan.turns)],
        )


def _figures(load: str) -> tuple[Figure, Figure]:
    return (Figure(name="whole job", unit="s", load=load), Figure(name="CPU per follower", unit="s", load=load))


def _load(followers: int, plan: Plan) -> str:
    return f"{followers} × {plan.tokens:,} events"


def _select(path: Path, job: Job, plan: Plan) -> Measured:
    """The peer: reads the rows of the log in this process."""
    connection = sqlite3.connect(path)
    begun, worked = time.monotonic(), time.process_time()
    rows = connection.execute("SELECT * FROM job_events WHERE job_id = ? ORDER BY seq", [job.id]).fetchall()
    seconds, cpu = time.monotonic() - begun, time.process_time() - worked
    connection.close()
    assert len(rows) == job.last_seq
    whole, each = _figures(_load(1, plan))
    return {whole: seconds, each: cpu}


async def _follow(app: Longhaul, job: Job, followers: int, plan: Plan) -> Measured:
    """Runs this many followers at once, each from the first event to the last."""
    meter = Meter(app.marker)
    begun = time.monotonic()
    sizes = await asyncio.gather(*(_read_events(app.url, job.id) for _ in range(followers)))
    seconds = time.monotonic() - begun
    load = _load(followers, plan)
    whole, each = _figures(load)
    return {
        whole: seconds,
        Figure(name="speed", unit="MB/s", load=load): sum(sizes) / seconds / 1e6,
        each: meter.used()["web"] / followers,
    }


async def _read_events(url: str, job_id: str) -> int:
    """Returns the bytes of the stream, read as they come: a client library would cost more than the server."""
    address = urlsplit(url)
    assert address.hostname is not None
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=READ_BYTES)
    request = (
        f"GET /api/jobs/{job_id}/events?after=0 HTTP/1.1\r\nHost: {address.netloc}\r\n"
        "Accept: text/event-stream\r\nConnection: close\r\n\r\n"
    )
    writer.write(request.encode())
    size, rest = 0, b""
    while piece := await reader.read(READ_BYTES):
        size += len(piece)
        rest = (rest + piece)[-1_000:]
    writer.close()
    if END not in rest:
        raise RuntimeError(f"the stream of {job_id} ended with {rest!r}")
    return size


async def _open(app: Longhaul, cookie: str, jobs: Sequence[Job], tokens: int, load: str) -> Measured:
    """Opens a link into the jobs' thread: seconds from opening its socket to the first and the last words of each turn.

    It is the first page to open the thread, so that nothing is rendered yet.
    """
    meter = Meter(app.marker)
    begun = time.monotonic()
    first, ends = 0.0, 0
    async with BrowserSession(app.url, cookie, str(jobs[0].thread_id)) as session:
        while ends < len(jobs):
            frame = await session.next_frame()
            if not first and word(0) in frame:
                first = time.monotonic() - begun
            ends += frame.count(word(tokens - 1))
        seconds, size = time.monotonic() - begun, session.received_bytes
    return {
        Figure(name="first screen", unit="s", load=load): first,
        Figure(name="whole thread", unit="s", load=load): seconds,
        Figure(name="sent to the page", unit="MB", load=load): size / 1e6,
        Figure(name="CPU of opening", unit="s", load=load): meter.used()["web"],
    }
