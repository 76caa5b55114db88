"""The API's streaming doors beside LiteLLM's proxy: the delay that each adds to the endpoint, and its cost."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.apps import App, Longhaul, Production, slots_for
from benchmarks.caller import Call, call, follow, submit
from benchmarks.endpoint import script
from benchmarks.figures import Figure, Measured, part
from benchmarks.parts import Bench, Options, Pair, Part, tell
from benchmarks.peers import litellm
from benchmarks.peers.install import install
from benchmarks.streaming import (
    GOLDEN_RATIO,
    PATIENCE_SECONDS,
    SETTLE_SECONDS,
    STAGGER_SECONDS,
    Conditions,
    Load,
    percentile,
)
from benchmarks.usage import Meter

IDLE_HERE = "tool hosts"
WARM_SECONDS = 5.0
"""How long a server that has started may go on importing modules before it is measured."""
FEW_TOKENS = script(tokens=3, rate=100)
"""Sent once through each door before it is measured."""

Stream = tuple[Call, float]
"""A call whose answer streams, and the moment of the first request that led to it."""
Door = Callable[[str, str], Awaitable[Stream]]
"""Begins a stream, from a server's address and a message."""


RATE = 20
"""Tokens per second of each stream."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The loads to measure, and the server's entry point."""

    entry: type[Longhaul]
    loads: Sequence[Load]


def prepared(options: Options) -> Part:
    install(litellm.ENVIRONMENT)
    sizes, seconds = ((2,), 1.0) if options.short else (options.streams, options.seconds)
    plan = Plan(
        entry=Production if options.production else Longhaul,
        loads=[Load(sessions=size, rate=RATE, seconds=seconds) for size in sizes],
    )
    return Part(
        name="api",
        ours=plan.entry.name,
        peer=litellm.LiteLLM.name,
        pairs=options.pairs,
        measure_pair=partial(measure_pair, plan),
    )


async def measure_pair(plan: Plan, bench: Bench) -> Pair:
    """Measures the endpoint alone, Longhaul and LiteLLM."""
    direct = [(load, await measure_direct(bench.url, load)) for load in plan.loads]
    slots = slots_for(load.sessions for load in plan.loads)
    apps = plan.entry(bench.folder / "ours", bench.url, slots), litellm.LiteLLM(bench.folder / "peer", bench.url, slots)
    ours, peer = [await measure_app(app, direct, bench) for app in apps]
    return ours, peer


async def completions(url: str, text: str) -> Stream:
    body = {"model": "bench-model", "stream": True, "messages": [{"role": "user", "content": text}]}
    made = await call(url, "POST", "/v1/chat/completions", body)
    return made, made.sent_at


async def deep_chat(url: str, text: str) -> Stream:
    made = await call(url, "POST", "/chat-stream", {"messages": [{"role": "user", "text": text}]})
    return made, made.sent_at


async def job_events(url: str, text: str) -> Stream:
    submitted_at = time.monotonic()
    return await follow(url, await submit(url, "chat", input=text)), submitted_at


DOORS: dict[str, Door] = {"chat completions": completions, "Deep Chat": deep_chat, "job events": job_events}

FIRST, TOKEN_50, TOKEN_99 = "first token added, p50", "token delay added, p50", "token delay added, p99"


async def measure_direct(url: str, load: Load) -> Measured:
    """Measures the endpoint without a proxy: this delay is part of the others."""
    return _delays(await _streams(completions, url.removesuffix("/v1"), load), load)


async def measure_door(door: Door, app: App, load: Load, direct: Measured, conditions: Conditions) -> Measured:
    """Measures what the app adds to `direct`, and the processor time of its processes by role."""
    await (await door(app.url, FEW_TOKENS))[0].end()
    meter = Meter(app.marker)
    async with conditions.watched(meter):
        calls = await _streams(door, app.url, load)
    await asyncio.sleep(SETTLE_SECONDS)
    cpu = Figure(name="CPU per 1,000 tokens", unit="s", load=str(load))
    used = {role: seconds / (load.sessions * load.tokens / 1000) for role, seconds in meter.used().items()}
    added = {figure: value - direct[figure] for figure, value in _delays(calls, load).items()}
    parts = {part(cpu, role): value for role, value in used.items() if role != IDLE_HERE}
    return added | {cpu: sum(used.values())} | parts


async def measure_app(app: App, loads: Sequence[tuple[Load, Measured]], bench: Bench) -> Measured:
    """Measures one start of one app under all loads, each with its result of `measure_direct`."""
    measure = measure_doors if isinstance(app, Longhaul) else partial(measure_door, completions)
    measured: Measured = {}
    async with app:
        bench.ran_with.update(app.ran_with())
        await asyncio.sleep(WARM_SECONDS)
        for load, direct in loads:
            tell(f"{app.name}: {load}")
            measured |= await measure(app, load, direct, bench.conditions)
    return measured


async def measure_doors(app: App, load: Load, direct: Measured, conditions: Conditions) -> Measured:
    """Measures each door as a part of a figure, so that each is compared with the peer's only door."""
    return {
        _of(name, figure): value
        for name, door in DOORS.items()
        for figure, value in (await measure_door(door, app, load, direct, conditions)).items()
    }


def _of(door: str, figure: Figure) -> Figure:
    """Renames `CPU: web` to `CPU: Deep Chat, web`."""
    whole, _, role = figure.name.partition(": ")
    return part(Figure(name=whole, unit=figure.unit, load=figure.load), of=f"{door}, {role}" if role else door)


async def _streams(door: Door, url: str, load: Load) -> list[Stream]:
    """Starts all streams and reads them to their ends. Raises when words get lost."""
    async with asyncio.timeout(load.seconds + PATIENCE_SECONDS):
        return await asyncio.gather(*(_stream(door, url, load, index) for index in range(load.sessions)))


async def _stream(door: Door, url: str, load: Load, index: int) -> Stream:
    await asyncio.sleep(index * GOLDEN_RATIO % 1 * STAGGER_SECONDS)
    streaming, asked_at = await door(url, script(tokens=load.tokens, rate=load.rate))
    await streaming.end()
    if len(streaming.delays) < load.tokens:
        raise RuntimeError(f"only {len(streaming.delays)} of {load.tokens} words came from {url}")
    return streaming, asked_at


def _delays(streams: list[Stream], load: Load) -> Measured:
    delays = [delay * 1000 for streaming, _ in streams for delay in streaming.delays]
    first = [(streaming.first_token_at - asked_at) * 1000 for streaming, asked_at in streams]
    return {
        Figure(name=FIRST, unit="ms", load=str(load)): statistics.median(first),
        Figure(name=TOKEN_50, unit="ms", load=str(load)): percentile(delays, 50),
        Figure(name=TOKEN_99, unit="ms", load=str(load)): percentile(delays, 99),
    }
