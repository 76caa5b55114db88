"""Background responses that are streamed, beside another server that keeps them: their cost, and their words after a
kill -9 of the whole server."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.api import WARM_SECONDS, Stream, measure_direct, measure_door
from benchmarks.apps import LEAST_SLOTS, App, Longhaul
from benchmarks.caller import Call, call
from benchmarks.endpoint import script
from benchmarks.figures import Figure, Measured
from benchmarks.parts import Bench, Options, Pair, Part, tell
from benchmarks.peers import azure_agentserver
from benchmarks.peers.azure_agentserver import AzureAgentServer
from benchmarks.peers.install import install
from benchmarks.streaming import Load
from tests import processes
from tests.waiting import until

WORD = re.compile(r"\bw(\d+)@")
DATA = re.compile(rb"^data: (\{.*\})\r?$", re.MULTILINE)
PATIENCE_SECONDS = 60
RATE = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    load: Load
    kills: int = 5
    words: int = 60
    """Of an answer that is cut by a kill."""
    read_first: int = 20
    """Words that have come when the server is killed."""


def prepared(options: Options) -> Part:
    install(azure_agentserver.ENVIRONMENT)
    load = Load(sessions=2, rate=RATE, seconds=1.0) if options.short else Load(sessions=50, rate=RATE, seconds=10)
    plan = Plan(load=load, kills=1 if options.short else Plan.kills)
    return Part(
        name="responses",
        ours=Longhaul.name,
        peer=AzureAgentServer.name,
        pairs=options.pairs,
        measure_pair=partial(measure_pair, plan),
    )


async def measure_pair(plan: Plan, bench: Bench) -> Pair:
    direct = await measure_direct(bench.url, plan.load)
    folder = bench.fresh()
    ours = partial(Longhaul, folder / "ours", bench.url, LEAST_SLOTS)
    peer = partial(AzureAgentServer, folder / "peer", bench.url, LEAST_SLOTS)
    measured = await measure(plan, ours, "/v1/responses", direct, bench)
    return measured, await measure(plan, peer, "/responses", direct, bench)


async def measure(plan: Plan, new: Callable[[], App], path: str, direct: Measured, bench: Bench) -> Measured:
    """Measures one start under load, then kills further ones. `new` returns the app in the same folder."""
    app = new()
    async with app:
        await asyncio.sleep(WARM_SECONDS)
        tell(f"{app.name}: {plan.load}")
        measured = await measure_door(partial(_begin, path), app, plan.load, direct, bench.conditions)
    tell(f"{app.name}: {plan.kills} kills")
    counts = [await _killed(plan, new, path) for _ in range(plan.kills)]
    lost, doubled = (sum(column) for column in zip(*counts, strict=True))
    load = f"{plan.kills} × {plan.words} words"
    return measured | {
        Figure(name="words lost by kill -9", unit="words", load=load): lost,
        Figure(name="words doubled by kill -9", unit="words", load=load): doubled,
    }


async def _begin(path: str, url: str, text: str) -> Stream:
    body = {"model": "bench-model", "input": text, "stream": True, "background": True, "store": True}
    made = await call(url, "POST", path, body)
    return made, made.sent_at


async def _killed(plan: Plan, new: Callable[[], App], path: str) -> tuple[int, int]:
    """Kills the server in mid-answer, and starts it again. Returns the words lost and doubled for a later reader."""
    async with new() as app:
        streaming, _ = await _begin(path, app.url, script(tokens=plan.words, rate=RATE))
        await until(
            lambda: len(streaming.delays) >= plan.read_first, within=PATIENCE_SECONDS, what="the answer streams"
        )
        response = _id(streaming)
        processes.kill_all(app.marker)
    async with new() as app:
        replay = await (await call(app.url, "GET", f"{path}/{response}?stream=true")).end()
    seen = Counter(int(number) for number in WORD.findall(shown(events(replay))))
    return plan.words - len(seen), seen.total() - len(seen)


def _id(streaming: Call) -> str:
    created = next(events(streaming.text()))
    return str(created["response"]["id"])


def events(stream: bytes) -> Iterator[dict[str, Any]]:
    for data in DATA.findall(stream):
        yield json.loads(data)


def shown(stream: Iterator[dict[str, Any]]) -> str:
    """Returns the text that a client shows at the end: all deltas, but for items that ended as incomplete."""
    items: dict[str, str] = {}
    for event in stream:
        match event["type"]:
            case "response.output_text.delta":
                items[event["item_id"]] = items.get(event["item_id"], "") + event["delta"]
            case "response.output_item.done" if event["item"]["status"] == "incomplete":
                items.pop(event["item"]["id"], None)
    return "".join(items.values())
