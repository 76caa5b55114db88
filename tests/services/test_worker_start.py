"""How a server's processes start: what they may open, and when a worker counts as ready."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

import pytest

from services.worker import warn_of_unknown_tools
from tests.conftest import StartServer
from tests.jobs.engine import sqlite_engine
from tests.server import FIXTURE_TOOLS, Server
from toolkit.pool import HostPool

FEW = 512


def open_files(process_id: int) -> int:
    """The soft limit of a process."""
    return resource.prlimit(process_id, resource.RLIMIT_NOFILE)[0]


def has_loaded(process_id: int, library: str) -> bool:
    return library in Path(f"/proc/{process_id}/maps").read_text()


async def test_a_worker_that_counts_has_loaded_the_model_client_and_only_tools_keep_the_limit_on_files(
    start_server: StartServer,
) -> None:
    _, hard = found = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
    try:
        server: Server = await start_server()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, found)
    (worker,) = server.workers()
    assert has_loaded(worker, "_tiktoken")  # of what langchain_openai imports
    assert server.hosts()
    assert {open_files(host) for host in server.hosts()} == {FEW}
    others = {*server.processes()} - {*server.hosts()}
    assert len(others) > 1
    assert {open_files(process) for process in others} == {hard}


async def test_a_worker_is_known_before_it_is_warm_and_tells_when_it_is(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine, engine.dispatcher() as dispatcher:
        (record,) = await engine.store.workers()
        assert not record.warm
        await dispatcher.tell_warm()
        (record,) = await engine.store.workers()
        assert record.warm


async def test_an_agent_that_names_a_tool_nobody_has_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "helper.py").write_text(
        "from toolkit import AgentContext, agent\n\n"
        '@agent(tools=["quote", "qoute"])\nasync def helper(ctx: AgentContext) -> None:\n    """Hi."""\n'
    )
    pools = HostPool([FIXTURE_TOOLS], spare_hosts=0), HostPool([tmp_path], kind="agent", spare_hosts=0)
    async with pools[0] as tools, pools[1] as agents:
        with caplog.at_level(logging.WARNING, "services.worker"):
            warn_of_unknown_tools(tools, agents)
    (record,) = (one for one in caplog.records if one.name == "services.worker")
    assert record.__dict__["fields"] == {"agent": "helper", "unknown": "qoute"}
