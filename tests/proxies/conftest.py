"""One real server with frequent heartbeats, shared by the tests that put a proxy before it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.server import Server

HERE = Path(__file__).parent
PING_SECONDS = 0.3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The shared server lives on one loop: so do the tests that use it."""
    on_session_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(on_session_loop, append=False)


@pytest.fixture(scope="session")
def proxied_endpoint() -> Iterator[Endpoint]:
    """The model of the shared server. Find a test's own requests by their text."""
    with Endpoint() as serving:
        yield serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def proxied_server(proxied_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    environment = model_environment(proxied_endpoint) | {
        "LONGHAUL_SSE_PING_SECONDS": str(PING_SECONDS),
        "LONGHAUL_ALLOW_ANONYMOUS": "1",
    }
    server = Server(tmp_path_factory.mktemp("proxied"), environment)
    await server.start()
    yield server
    server.stop()
    server.check_log()
