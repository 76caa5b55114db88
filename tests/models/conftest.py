"""A desk with the scripted endpoint as its model, and one with the offline model. Tool hosts serve a whole module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.endpoint import Endpoint
from tests.models.desk import AGENTS, TOOLBOX, Desk, open_desk, settings_for
from toolkit.pool import HostPool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[HostPool]:
    async with HostPool([TOOLBOX], spare_hosts=0) as pool:
        yield pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents() -> AsyncIterator[HostPool]:
    async with HostPool([AGENTS], kind="agent", spare_hosts=0) as pool:
        yield pool


@pytest_asyncio.fixture(loop_scope="module")
async def desk(endpoint: Endpoint, tmp_path: Path, pool: HostPool, agents: HostPool) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, settings_for(endpoint.url), pool, agents) as desk:
        await desk.models.ready()
        yield desk


@pytest_asyncio.fixture(loop_scope="module")
async def offline(tmp_path: Path, pool: HostPool, agents: HostPool) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, settings_for(None), pool, agents) as desk:
        await desk.models.ready()
        yield desk
