"""Browser sessions that all read a streamed answer: the cost and the delays."""

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
from benchmarks.usage import Meter, cpu_seconds, machine_seconds, memory

STAGGER_SECONDS = 1.0
"""The messages are spread over this time: people do not all press Enter at once."""
GOLDEN_RATIO = 0.618034
"""Its multiples spread evenly for any number; equal steps would put the tokens of 20 streams into one burst."""
SETTLE_SECONDS = 0.5
"""The pause before a load, which excludes the cost of opening pages, and after it, which includes the answer's end."""
PATIENCE_SECONDS = 240
"""The wait beyond the stream's length: a server that cannot keep up ends late; after this, words count as lost."""
TICK_SECONDS = 0.02
FEW_TOKENS = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """A number of sessions, each with a stream of so many tokens per second for so long."""

    sessions: int
    rate: float
    seconds: float

    @property
    def tokens(self) -> int:
        """Tokens of one session."""
        return max(1, round(self.rate * self.seconds))

    @property
    def thousands(self) -> float:
        """Thousands of tokens of all sessions."""
        return self.sessions * self.tokens / 1000

    def __str__(self) -> str:
        return f"{self.sessions} × {self.rate:g} tok/s"


class Conditions:
    """Records what could spoil the figures of a load: this process, which makes it, and others on the machine."""

    def __init__(self, endpoint_pid: int) -> None:
        self._endpoint_pid = endpoint_pid
        self._shares: dict[str, list[float]] = {"load generator": [], "endpoint": [], "others": []}
        self._worst_lag = 0.0

    @contextlib.asynccontextmanager
    async def watched(self, meter: Meter) -> AsyncIterator[None]:
        """Watches the load inside; `meter` measures what the app uses."""
        loop = asyncio.get_running_loop()
        begun, before, lags = loop.time(), self._read(meter), [0.0]
        ticking = asyncio.create_task(_tick(lags))
        try:
            yield
        finally:
            ticking.cancel()
            elapsed = loop.time() - begun
            self._worst_lag = max(self._worst_lag, percentile(lags, 99))
            for name, seconds in self._read(meter).items():
                self._shares[name].append((seconds - before[name]) / elapsed)

    def as_json(self) -> dict[str, object] | None:
        """Returns the cores used during each load, in order, and the longest lag of this loop during the worst: words
        that arrived meanwhile were recorded that much later. None if no load was watched."""
        if not self._shares["others"]:
            return None
        return {
            "cores": {name: [round(share, 3) for share in shares] for name, shares in self._shares.items()},
            "loop_lag_p99_ms": round(self._worst_lag * 1000, 2),
        }

    def _read(self, meter: Meter) -> dict[str, float]:
        own, endpoint = cpu_seconds(os.getpid()), cpu_seconds(self._endpoint_pid)
        others = machine_seconds() - own - endpoint - sum(meter.used().values())
        return {"load generator": own, "endpoint": endpoint, "others": others}


async def _tick(lags: list[float]) -> None:
    """Record the lag of the running loop until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        lags.append(loop.time() - due)


async def first_message(app: App) -> Measured:
    """Measures the first message after a start, which waits for imports, connections and caches."""
    async with BrowserSession(app.url, await visit(app.url)) as session, asyncio.timeout(PATIENCE_SECONDS):
        await session.ask(script(tokens=FEW_TOKENS, rate=FEW_TOKENS))
        await session.receive(FEW_TOKENS)
    assert session.first_token_seconds is not None
    return {Figure(name="first token after the start", unit="ms"): session.first_token_seconds * 1000}


async def measure(app: App, load: Load, conditions: Conditions, idle_megabytes: float) -> Measured:
    """Measures a load. Raises `TimeoutError` when words get lost."""
    cookie = await visit(app.url)
    async with contextlib.AsyncExitStack() as pages:
        sessions = [await pages.enter_async_context(BrowserSession(app.url, cookie)) for _ in range(load.sessions)]
        await asyncio.sleep(SETTLE_SECONDS)
        meter, opening_bytes = Meter(app.marker), _received(sessions)
        try:
            async with conditions.watched(meter), asyncio.timeout(load.seconds + PATIENCE_SECONDS):
                await asyncio.gather(*(_converse(session, index, load) for index, session in enumerate(sessions)))
        except TimeoutError:
            short = [len(session.delays) for session in sessions if len(session.delays) < load.tokens]
            raise TimeoutError(
                f"{len(short)} sessions got only {short} of {load.tokens} words from {app.name}"
            ) from None
        await asyncio.sleep(SETTLE_SECONDS)
        used = meter.used()
        sent_bytes = _received(sessions) - opening_bytes
        resident = sum(memory(app.marker).values())
    return _cpu(used, load) | _delays(sessions, load) | sizes(load, sent_bytes, resident, idle_megabytes)


async def _converse(session: BrowserSession, index: int, load: Load) -> None:
    await asyncio.sleep(index * GOLDEN_RATIO % 1 * STAGGER_SECONDS)
    await session.ask(script(tokens=load.tokens, rate=load.rate))
    await session.receive(load.tokens)


def _cpu(used: dict[str, float], load: Load) -> Measured:
    return with_parts(
        Figure(name="CPU per 1,000 tokens", unit="s", load=str(load)),
        {role: seconds / load.thousands for role, seconds in used.items()},
    )


def _received(sessions: list[BrowserSession]) -> int:
    return sum(session.received_bytes for session in sessions)


def sizes(load: Load, sent_bytes: int, resident: float, idle: float) -> Measured:
    """Returns the sizes of sent bytes and of memory; both memories are in megabytes."""
    return {
        Figure(name="sent to the pages", unit="kB", load=str(load)): sent_bytes / 1000 / load.thousands,
        Figure(name="memory", unit="MB", load=str(load)): resident,
        Figure(name="memory per session", unit="MB", load=str(load)): (resident - idle) / load.sessions,
    }


def _delays(sessions: list[BrowserSession], load: Load) -> Measured:
    delays = [delay * 1000 for session in sessions for delay in session.delays]
    first = [session.first_token_seconds * 1000 for session in sessions if session.first_token_seconds is not None]
    return {
        Figure(name="first token, p50", unit="ms", load=str(load)): statistics.median(first),
        Figure(name="token delay, p50", unit="ms", load=str(load)): percentile(delays, 50),
        Figure(name="token delay, p99", unit="ms", load=str(load)): percentile(delays, 99),
    }


def with_parts(figure: Figure, by_role: dict[str, float]) -> Measured:
    """Returns the sum, and the shares of the roles if there are several."""
    parts = {part(figure, of=role): value for role, value in by_role.items()} if len(by_role) > 1 else {}
    return {figure: sum(by_role.values())} | parts


def percentile(values: list[float], percent: int) -> float:
    """Returns the value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
