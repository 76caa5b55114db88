"""A pool of real hosts with this folder's sample tools."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.toolkit.recording import RecordingHandler
from tests.waiting import until
from toolkit.pool import HostPool

SAMPLE_TOOLS = Path(__file__).parent / "sample_tools"


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[HostPool]:
    """Of one test: it may lose its hosts."""
    async with HostPool([SAMPLE_TOOLS]) as pool:
        yield pool


@pytest_asyncio.fixture
async def warm_pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HostPool]:
    """Of one test, as it is some seconds after its start: a spare host lives."""
    monkeypatch.setattr("toolkit.pool.FIRST_SPARE_SECONDS", 0.0)
    async with HostPool([SAMPLE_TOOLS]) as pool:
        await until(lambda: len(pool.host_pids) == 2, within=30, what="the spare host lives")
        yield pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_pool() -> AsyncIterator[HostPool]:
    """Of a module whose tests leave the hosts as they find them."""
    async with HostPool([SAMPLE_TOOLS], spare_hosts=0) as pool:
        yield pool


@pytest_asyncio.fixture
async def handler(tmp_path: Path) -> RecordingHandler:
    return RecordingHandler(tmp_path)
