"""Browser sessions that all read a streamed answer: its cost and its delays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks.apps import App
from benchmarks.browser import BrowserSession, visit
from benchmarks.endpoint import script
from benchmarks.figures import Figure, Measured, part
from benchmarks.usage import Meter, cpu_seconds, memory

STAGGER_SECONDS = 1.0
"""People do not all press Enter at once: the messages are spread over this time."""
SETTLE_SECONDS = 0.5
"""Before: what opening a page costs is no part of streaming. After: the answer's end is."""
PATIENCE_SECONDS = 30
"""Beyond the stream's own length; then words are missing."""
TICK_SECONDS = 0.02
FEW_TOKENS = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """So many sessions, each streaming so many tokens per second for so long."""

    sessions: int
    rate: float
    seconds: float

    @property
    def tokens(self) -> int:
        """Of one session."""
        return max(1, round(self.rate * self.seconds))

    def __str__(self) -> str:
        return f"{self.sessions} × {self.rate:g} tok/s"


class Generator:
    """Whether this process, which makes the load, keeps up with it: else it would measure itself."""

    def __init__(self, endpoint_pid: int) -> None:
        self.busy: list[float] = []
        """Share of a core used by this process, for each load."""
        self.endpoint_busy: list[float] = []
        self.lags: list[float] = []
        """Seconds by which this loop was late: words that arrived meanwhile are noted that much later."""
        self._endpoint_pid = endpoint_pid

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        begun, before = loop.time(), [cpu_seconds(pid) for pid in (os.getpid(), self._endpoint_pid)]
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            elapsed = loop.time() - begun
            own, endpoint = (
                cpu_seconds(pid) - was for pid, was in zip((os.getpid(), self._endpoint_pid), before, strict=True)
            )
            self.busy.append(own / elapsed)
            self.endpoint_busy.append(endpoint / elapsed)

    def as_json(self) -> dict[str, float]:
        return {
            "busiest_share_of_a_core": max(self.busy),
            "endpoint_busiest_share_of_a_core": max(self.endpoint_busy),
            "loop_lag_p99_ms": percentile(self.lags, 99) * 1000,
        }

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.lags.append(loop.time() - due)


async def first_message(app: App) -> Measured:
    """What the first one after a start waits for, and later ones do not: imports, connections, caches."""
    async with BrowserSession(app.url, await visit(app.url)) as session, asyncio.timeout(PATIENCE_SECONDS):
        await session.ask(script(tokens=FEW_TOKENS, rate=FEW_TOKENS))
        await session.receive(FEW_TOKENS)
    assert session.first_token_seconds is not None
    return {Figure(name="first token after the start", unit="ms"): session.first_token_seconds * 1000}


async def measure(app: App, load: Load, generator: Generator) -> Measured:
    """Raises `TimeoutError` when words get lost: a cheap server that loses some is not cheap."""
    cookie = await visit(app.url)
    async with contextlib.AsyncExitStack() as pages:
        sessions = [await pages.enter_async_context(BrowserSession(app.url, cookie)) for _ in range(load.sessions)]
        await asyncio.sleep(SETTLE_SECONDS)
        meter = Meter(app.marker)
        try:
            async with generator.watched(), asyncio.timeout(load.seconds + PATIENCE_SECONDS):
                await asyncio.gather(*(_converse(session, index, load) for index, session in enumerate(sessions)))
        except TimeoutError:
            short = [len(session.delays) for session in sessions if len(session.delays) < load.tokens]
            raise TimeoutError(
                f"{len(short)} sessions got only {short} of {load.tokens} words from {app.name}"
            ) from None
        await asyncio.sleep(SETTLE_SECONDS)
        used = meter.used()
        resident = sum(memory(app.marker).values())
    return _cpu(used, load) | _delays(sessions, load) | {Figure(name="memory", unit="MB", load=str(load)): resident}


async def _converse(session: BrowserSession, index: int, load: Load) -> None:
    await asyncio.sleep(index / load.sessions * STAGGER_SECONDS)
    await session.ask(script(tokens=load.tokens, rate=load.rate))
    await session.receive(load.tokens)


def _cpu(used: dict[str, float], load: Load) -> Measured:
    thousands = load.sessions * load.tokens / 1000
    return with_parts(
        Figure(name="CPU per 1,000 tokens", unit="s", load=str(load)),
        {role: seconds / thousands for role, seconds in used.items()},
    )


def _delays(sessions: list[BrowserSession], load: Load) -> Measured:
    delays = [delay * 1000 for session in sessions for delay in session.delays]
    first = [session.first_token_seconds * 1000 for session in sessions if session.first_token_seconds is not None]
    return {
        Figure(name="first token, p50", unit="ms", load=str(load)): statistics.median(first),
        Figure(name="token delay, p50", unit="ms", load=str(load)): percentile(delays, 50),
        Figure(name="token delay, p99", unit="ms", load=str(load)): percentile(delays, 99),
    }


def with_parts(figure: Figure, by_role: dict[str, float]) -> Measured:
    """The sum, and the roles' shares where there are several."""
    parts = {part(figure, of=role): value for role, value in by_role.items()} if len(by_role) > 1 else {}
    return {figure: sum(by_role.values())} | parts


def percentile(values: list[float], percent: int) -> float:
    """The value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
