"""What every test has: a clean environment, loops that must not block, the scripted endpoint, the real server."""

import contextlib
import functools
import gc
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests.blocking import BlockedLoops
from tests.endpoint import Endpoint
from tests.postgres import PrivatePostgres, temporary_postgres
from tests.server import Server

OURS = ("LONGHAUL_", "OPENAI_", "CHAINLIT_", "OAUTH_", "OTEL_", "DATABASE_URL")
QUICK_EXAMPLES, THOROUGH_EXAMPLES = 25, 500
LONGEST = (
    "/real_model/",
    "/browser/",
    "/chaos/",
    "test_benchmarks",
    "test_leaving",
    "test_mcp_",
    "test_ui_survives",
    "test_map_table_survives",
    "/test_web.py",
)
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]  # a busy machine; fixtures whose rests do no harm


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help=f"{THOROUGH_EXAMPLES} examples for each property test instead of {QUICK_EXAMPLES}",
    )

    parser.addoption("--real-model", action="store_true", help="run tests/real_model too, with scripts/real-model")
    parser.addoption("--faults", type=int, default=6, help="how often tests/chaos breaks something")
    parser.addoption("--seed", type=int, default=1, help="the order in which tests/chaos does")


def pytest_configure(config: pytest.Config) -> None:
    """Property tests take their number of examples from here."""
    share_certificates()
    examples = THOROUGH_EXAMPLES if config.getoption("--thorough") else QUICK_EXAMPLES
    settings.register_profile("longhaul", deadline=None, max_examples=examples, suppress_health_check=SLOW)
    settings.load_profile("longhaul")


def share_certificates() -> None:
    """Makes all HTTP clients of this process use one context. To read the certificates of all authorities takes 20 ms
    of processor time, and a test that waits for its server makes dozens of clients."""
    transports = httpx._transports.default
    transports.create_ssl_context = functools.cache(transports.create_ssl_context)  # type: ignore[attr-defined]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest come first: no process works on one of them when the others have ended."""
    items.sort(key=lambda item: not any(name in item.path.as_posix() for name in LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests stay until the end: looking for garbage among them takes a fifth of the collection's time, and
    later a tenth of the tests'."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def examples(*, share: float) -> int:
    """For property tests whose examples cost more than others: their share of the usual number."""
    return max(1, round(settings().max_examples * share))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_blocked_loop() -> Iterator[None]:
    """Fails the test when a callback of an event loop of this process keeps the loop for long."""
    with BlockedLoops() as blocked:
        yield
    assert not blocked.callbacks, f"blocked its event loop: {blocked.callbacks}"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A scripted OpenAI-compatible endpoint of this test's own; its module lists what a message can ask of it."""
    with Endpoint() as serving:
        yield serving


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o755)  # the database server's own user must reach it
        yield Path(directory)


@pytest.fixture(scope="session")
def breakable_postgres() -> Iterator[PrivatePostgres]:
    """See `private_postgres`."""
    with temporary_postgres() as server:
        yield server


@pytest.fixture
def private_postgres(breakable_postgres: PrivatePostgres) -> PrivatePostgres:
    """An empty database server that nobody else uses now, to be stopped and crashed."""
    breakable_postgres.start()
    breakable_postgres.empty()
    return breakable_postgres


StartServer = Callable[..., Awaitable[Server]]


@pytest.fixture
def start_server(endpoint: Endpoint, tmp_path: Path) -> Iterator[StartServer]:
    """`await start_server(NAME="value", …)` starts the real server with the scripted endpoint as its model.

    With `offline=True` it has no endpoint: the offline model answers.
    """
    servers: list[Server] = []

    async def start(*, offline: bool = False, **environment: str) -> Server:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        server = Server(folder, ({} if offline else model_environment(endpoint)) | environment)
        servers.append(server)
        await server.start()
        return server

    yield start
    with contextlib.ExitStack() as ending:
        for server in servers:
            ending.callback(server.check_log)
            ending.callback(server.stop)


def model_environment(endpoint: Endpoint) -> dict[str, str]:
    return {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "test-key", "LONGHAUL_MODEL": "test-model"}
