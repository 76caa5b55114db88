"""A real language model and a real server that asks it, shared by these tests. They run with --real-model only."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.real_model.serving import CONTEXT_TOKENS, NAME, SCRIPT, RealModel
from tests.server import Server

HERE = Path(__file__).parent
pytest.register_assert_rewrite("tests.real_model.following")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects these tests unless they are asked for, and has them share a loop as they share servers."""
    ours = [item for item in items if HERE in item.path.parents]
    if not config.getoption("--real-model"):
        items[:] = [item for item in items if HERE not in item.path.parents]
        config.hook.pytest_deselected(items=ours)
        return
    for item in ours:
        if pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def environment(url: str) -> dict[str, str]:
    """What scripts/real-model tells to set, for the smaller context of the tests."""
    return {
        "OPENAI_BASE_URL": url,
        "LONGHAUL_MODEL": NAME,
        "LONGHAUL_CONTEXT_TOKENS": str(CONTEXT_TOKENS // 2),
        "LONGHAUL_MODEL_IDLE_SECONDS": "300",
    }


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealModel]:
    await asyncio.to_thread(subprocess.check_call, [str(SCRIPT), "install"])
    model = RealModel(tmp_path_factory.mktemp("model"))
    await model.start()
    yield model
    model.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(model: RealModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    server = Server(tmp_path_factory.mktemp("real"), environment(model.url))
    await server.start()
    yield server
    server.stop()
    server.check_log()


@pytest_asyncio.fixture(loop_scope="session")
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """With the cookie of a page."""
    async with httpx.AsyncClient(base_url=server.url, timeout=300) as client:
        (await client.get("/")).raise_for_status()
        yield client
