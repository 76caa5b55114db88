"""Each tool that ships, cancelled at work: no process, no temporary file, no open call to the model stays behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.endpoint import Endpoint
from tests.models.desk import Desk, open_desk, settings_for
from tests.waiting import until
from toolkit.pool import HostPool

ROOT = Path(__file__).resolve().parent.parent.parent
HANDBOOK = ROOT / "samples" / "signals-handbook.pdf"
GONE_SECONDS = 15.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


def orders() -> bytes:
    """A table that takes seconds to analyse."""
    lines = [f"{i},{i % 97},{i * 7 % 1013},2025-{i % 12 + 1:02}-{i % 28 + 1:02}" for i in range(400_000)]
    return "\n".join(["order,items,amount,day", *lines]).encode()


@dataclass(frozen=True, kw_only=True)
class Case:
    tool: str
    content: Callable[[], bytes] | None = None
    name: str = "file.csv"
    parameter: str = "table"
    many: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    asks: bool = False  # at work when the model has been asked, else when it reports progress

    def __str__(self) -> str:
        return self.tool


CASES = (
    Case(
        tool="summarize_documents",
        content=lambda: b"A line to wait for: delay=60 tokens=1.",
        name="a.txt",
        parameter="documents",
        many=True,
        asks=True,
    ),
    Case(tool="analyze_table", content=orders),
    Case(
        tool="query_table",
        content=orders,
        parameter="tables",
        many=True,
        arguments={"sql": "SELECT sum(a.items * b.amount) FROM file a, file b"},
    ),
    Case(
        tool="map_table",
        content=lambda: b"word\n" + b"\n".join(b"delay=60 tokens=1 %d" % i for i in range(20)),
        arguments={"prompt": "{word}"},
        asks=True,
    ),
    Case(tool="index_documents", content=HANDBOOK.read_bytes, name="a.pdf", parameter="documents", many=True),
    Case(tool="simulate_portfolio", arguments={"years": 60, "paths": 1_000_000}),
)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shipped(temporary: Path) -> AsyncIterator[HostPool]:
    """The tools that ship. Their processes' idea of the system's temporary directory is one of this module's own."""
    system = temporary / "system"
    system.mkdir()
    environment = {"TMPDIR": str(system)}
    async with HostPool(
        [ROOT / "tools"], environment=environment, scratch=temporary / "scratch", spare_hosts=0
    ) as pool:
        yield pool


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_cancelled_tool_leaves_nothing_behind(
    case: Case, endpoint: Endpoint, tmp_path: Path, shipped: HostPool, temporary: Path
) -> None:
    async with open_desk(tmp_path, settings_for(endpoint.url), shipped) as desk:
        await desk.models.ready()
        ctx = await desk.submit(task=case.tool, arguments=await arguments_of(case, desk))
        running = asyncio.create_task(desk.run(ctx))
        at_work = (lambda: endpoint.requests()) if case.asks else (lambda: desk.events(ctx, "progress"))
        await until(at_work, within=20, what="the tool is at work")
        assert not running.done(), "it ended before it could be cancelled"
        working = shipped.host_pids

        cancelled_at = time.monotonic()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()
        assert time.monotonic() - cancelled_at < GONE_SECONDS

        await until(lambda: not files_below(temporary), within=GONE_SECONDS, what="no temporary file is left")
        await until(
            lambda: all(one.finished_at or one.disconnected_at for one in endpoint.requests()),
            within=GONE_SECONDS,
            what="no call to the model is open",
        )
        if shipped_in_a_process(shipped, case.tool):
            await until(lambda: dead(working), within=GONE_SECONDS, what="the process that worked is gone")


async def arguments_of(case: Case, desk: Desk) -> dict[str, Any]:
    if case.content is None:
        return case.arguments

    async def source() -> AsyncIterator[bytes]:
        assert case.content is not None
        yield case.content()

    stored = await desk.files.save(
        name=case.name, mime="application/octet-stream", owner="ada", source=source(), limit_bytes=10**9
    )
    return {case.parameter: [stored.id] if case.many else stored.id, **case.arguments}


def files_below(directory: Path) -> list[Path]:
    """All but the lock that a pool holds while it lives."""
    return [path for path in directory.rglob("*") if path.is_file() and path.name != "lock"]


def shipped_in_a_process(pool: HostPool, tool: str) -> bool:
    return any(spec.run_in == "process" for spec in pool.catalogue if spec.name == tool)


def dead(pids: Sequence[int]) -> list[int]:
    """Those that are no more."""
    return [pid for pid in pids if not Path(f"/proc/{pid}").exists()]
