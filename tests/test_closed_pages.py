"""Pages that leave, or read nothing: the web process keeps nothing of them, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from tests.conftest import model_environment
from tests.endpoint import Endpoint, script
from tests.open_page import page_socket
from tests.raw_page import raw_page
from tests.server import Server
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORD = "x" * 4_000
PAGES = 200
FIRST_ONES = 3
"""What serves all pages was begun for one, and its tasks hold the context of that."""
OF_A_PAGE = (
    "chainlit.session.WebsocketSession",
    "chainlit.context.ChainlitContext",
    "chainlit.emitter.ChainlitEmitter",
    "chainlit.message.Message",
    "handlers.view.ThreadView",
    "handlers.connections.Connection",
    "uvicorn.protocols.websockets.websockets_sansio_impl.WebSocketsSansIOProtocol",
    "handlers.sockets.PacketQueue",
)
"""Types of which an open page has objects, and nobody else."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("pages")
    counts = {"TEST_SESSION_SECONDS": "1", "TEST_COUNTS": str(folder / "counts.json")}
    server = Server(folder, model_environment(endpoint) | counts)
    await server.start()
    yield server
    server.stop()
    server.check_log()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        (await client.get("/")).raise_for_status()
        yield client


async def ask(browser: httpx.AsyncClient, text: str, thread: str) -> str:
    answer = await browser.post("/api/jobs", json={"task": "chat", "input": text, "thread_id": thread})
    return str(answer.json()["id"])


async def ended(browser: httpx.AsyncClient, job: str) -> None:
    async def completed() -> bool:
        return bool((await browser.get(f"/api/jobs/{job}")).json()["status"] == "completed")

    await until(completed, within=60, what="the answer is whole")


async def test_a_page_that_reads_nothing_is_cut_off_and_shows_all_when_it_is_back(
    server: Server, endpoint: Endpoint, browser: httpx.AsyncClient
) -> None:
    thread = str(uuid.uuid4())
    await ended(browser, await ask(browser, script(tokens=300, word=WORD), thread))
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    running = script(tokens=120, rate=200, hold=100)
    async with raw_page(server.url, cookie=cookie, thread_id=thread) as page:
        await page.emit("connection_successful")
        assert WORD in await page.event("resume_thread")
        job = await ask(browser, running, thread)
        page.stop_reading()
        for _ in range(30):  # each time it is sent the whole conversation
            await page.emit("connection_successful")
        await until(lambda: "page cut off" in server.log(), within=30, what="it was cut off")
    endpoint.release(running)
    await ended(browser, job)
    async with raw_page(server.url, cookie=cookie, thread_id=thread) as back:
        await back.emit("connection_successful")
        shown = json.loads((await back.event("resume_thread"))[2:])[1]
    answers = [step["output"].split() for step in shown["steps"] if step["type"] == "assistant_message"]
    assert [len(words) for words in answers if words] == [300, 120]


async def test_closed_pages_keep_nothing(server: Server, browser: httpx.AsyncClient) -> None:
    thread = str(uuid.uuid4())
    await ended(browser, await ask(browser, script(tokens=20), thread))

    async def open_and_close(pages: int) -> None:
        for _ in range(pages):
            async with page_socket(browser, session_id=str(uuid.uuid4()), thread_id=thread) as page:
                shown = asyncio.Event()
                page.on("resume_thread", lambda *_, shown=shown: shown.set())
                await page.emit("connection_successful")
                await asyncio.wait_for(shown.wait(), 30)

    async def gone() -> bool:
        counts = await living(server)
        return all(counts[name] <= FIRST_ONES for name in OF_A_PAGE)

    await asyncio.gather(*(open_and_close(PAGES // 10) for _ in range(10)))
    await until(gone, within=30, what=f"nothing of {PAGES} pages is left")


async def living(server: Server) -> Counter[str]:
    """The numbers of objects in the web process, by type."""
    target = server.data_dir.parent / "counts.json"
    target.unlink(missing_ok=True)
    server.signal_web(signal.SIGUSR2)
    await until(target.exists, within=30, what="the objects are counted")
    return Counter(json.loads(target.read_text()))
