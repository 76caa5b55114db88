"""One real server with two users' keys, shared by the tests that neither kill nor slow it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.server import Server

HERE = Path(__file__).parent
KEYS = {"ada": "the-secret-key-of-ada", "bob": "the-secret-key-of-bob"}
KEYS_VARIABLE = ",".join(f"{name}:{key}" for name, key in KEYS.items())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The shared server lives on one loop: so do the tests that use it."""
    on_session_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(on_session_loop, append=False)


@pytest.fixture(scope="session")
def api_endpoint() -> Iterator[Endpoint]:
    """The model of the shared server. Find a test's own requests by their text."""
    with Endpoint() as serving:
        yield serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api_server(api_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """With keys: callers without one are strangers."""
    environment = model_environment(api_endpoint) | {
        "LONGHAUL_API_KEYS": KEYS_VARIABLE,
        "LONGHAUL_SSE_PING_SECONDS": "0.2",
        "LONGHAUL_ALLOWED_ORIGINS": "https://pages.example",
    }
    server = Server(tmp_path_factory.mktemp("api"), environment)
    await server.start()
    yield server
    server.stop()
    server.check_log()


def client_of(server: Server, user: str | None = None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {KEYS[user]}"} if user else {}
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30)


@pytest_asyncio.fixture(loop_scope="session")
async def ada(api_server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(api_server, "ada") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def bob(api_server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(api_server, "bob") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(api_server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(api_server) as client:
        yield client
