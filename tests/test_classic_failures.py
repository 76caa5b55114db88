"""The five ways in which servers of streams usually fail: each shown with a naive server, then looked for in ours."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from tests.api.events import events_of, follow, text_of
from tests.conftest import model_environment
from tests.endpoint import Endpoint, script
from tests.ports import free_port
from tests.proxies.nginx import Nginx, default
from tests.server import ROOT, Server, latencies
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW_SECONDS = 2.5
"""What /healthz takes at least while the loop is kept busy for three seconds."""
QUICK_SECONDS = 1.5
"""… and at most while it is not, on a machine that does other things as well."""
REPLAYED = 100_000


class Naive:
    """The naive server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "naive.log"
        command = [sys.executable, "-m", "uvicorn", "tests.naive:app", "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    async def serves(self) -> bool:
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{self.url}/healthz")).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def naive(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Naive]:
    server = Naive(tmp_path_factory.mktemp("naive"))
    try:
        await until(server.serves, within=20, what="the naive server answers")
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    server = Server(tmp_path_factory.mktemp("ours"), model_environment(endpoint))
    await server.start()
    yield server
    server.stop()
    server.check_log()


async def test_a_proxy_holds_back_a_stream_that_does_not_say_it_is_one(
    naive: Naive, ours: Server, endpoint: Endpoint, tmp_path: Path
) -> None:
    async with Nginx(tmp_path / "naive", default(), naive.port) as nginx:
        pieces = await pieces_of(f"{nginx.url}/buffered")
        assert len(pieces) == 1, "the naive words came one by one: the proxy of this test does not buffer"
        assert b"w4" in pieces[0]
    question = script(tokens=6, hold=3)
    async with Nginx(tmp_path / "ours", default(), ours.port) as nginx, client_of(nginx.url) as client:
        job_id = await submitted(client, task="chat", input=question)
        held = []
        async with client.stream("GET", f"/api/jobs/{job_id}/events") as response:
            async for event in events_of(response):
                held.append(event)
                if text_of(held).endswith("w2 "):
                    endpoint.release(question)  # the first words are here while the last are not yet written
    assert text_of(held) == "w0 w1 w2 w3 w4 w5 "


async def test_a_stream_that_is_always_ready_starves_nobody(naive: Naive, ours: Server) -> None:
    assert await slowest_health(naive.url, lambda: read(f"{naive.url}/starved")) > SLOW_SECONDS
    async with client_of(ours.url) as client:
        job_id = await submitted(client, task="chat", input=script(tokens=3))
        await follow(client, job_id)
    lengthen(ours.data_dir / "jobs.db", job_id)
    address = f"{ours.url}/api/jobs/{job_id}/events"
    sizes: list[int] = []

    async def replay() -> None:
        sizes.append((await read(address)).count(b"event: text.delta\n"))

    assert await slowest_health(ours.url, replay) < QUICK_SECONDS
    assert sizes[0] > REPLAYED


async def test_the_source_of_a_stream_stays_open_until_its_end(naive: Naive, ours: Server) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await read(f"{naive.url}/closed")
    body = {"model": "test-model", "stream": True, "messages": [{"role": "user", "content": script(tokens=200)}]}
    async with client_of(ours.url) as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        chunks = [event.data async for event in events_of(response)]
    assert chunks[-1] == "[DONE]"
    words = "".join(choice["delta"].get("content") or "" for chunk in chunks[:-1] for choice in chunk["choices"])
    assert words.split() == [f"w{number}" for number in range(200)]


async def test_nobody_hears_of_a_viewer_who_leaves(naive: Naive, ours: Server, endpoint: Endpoint) -> None:
    async with connect(f"ws://127.0.0.1:{naive.port}/noisy", proxy=None) as socket:
        await socket.recv()
    await until(lambda: "Traceback" in naive.log.read_text(), within=30, what="the naive server's traceback")

    before, question = ours.complaints(), script(tokens=6, hold=3)
    async with client_of(ours.url) as client:
        job_id = await submitted(client, task="chat", input=question)
        at_rest = await figure(client, "longhaul_followers")
        for _ in range(3):
            await follow(client, job_id, at_most=2)
        async with connect(f"ws://127.0.0.1:{ours.port}/ws/socket.io/?EIO=4&transport=websocket", proxy=None) as socket:
            await socket.recv()
        await abandoned_upload(ours.port)
        endpoint.release(question)
        assert text_of(await follow(client, job_id)).split()[-1] == "w5"

        async def left() -> bool:
            return await figure(client, "longhaul_followers") == at_rest

        await until(left, within=30, what="no follower is left")
    assert ours.complaints() == before


async def test_a_blocking_call_stops_nobody_else(naive: Naive, ours: Server) -> None:
    assert await slowest_health(naive.url, lambda: read(f"{naive.url}/blocking")) > SLOW_SECONDS
    async with client_of(ours.url) as client:

        async def block() -> None:
            job_id = await submitted(client, task="block_the_loop", arguments={"seconds": 3})
            assert (await follow(client, job_id))[-1].data["result"] == "slept 3.0 seconds"

        assert await slowest_health(ours.url, block) < QUICK_SECONDS


# -- how -----------------------------------------------------------------------------------------------------------


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=30)


async def submitted(client: httpx.AsyncClient, **job: Any) -> str:
    answer = await client.post("/api/jobs", json=job)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def pieces_of(url: str) -> list[bytes]:
    """As the network brings them."""
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", url) as response:
        return [piece async for piece in response.aiter_bytes()]


async def read(url: str) -> bytes:
    return b"".join(await pieces_of(url))


async def slowest_health(url: str, work: Callable[[], Awaitable[object]]) -> float:
    """The longest that /healthz took while the work was done."""
    done = threading.Event()
    watching = asyncio.create_task(asyncio.to_thread(latencies, f"{url}/healthz", done))
    try:
        await work()
    finally:
        done.set()
        taken = await watching
    print(f"/healthz of {url}: {len(taken)} times, at most {max(taken):.3f} s")  # noqa: T201  # shown by -s
    return max(taken)


async def figure(client: httpx.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    [value] = [line.split()[-1] for line in lines if line.split()[0] == name]
    return float(value)


async def abandoned_upload(port: int) -> None:
    """Announces a file, sends nothing of it, and leaves."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        "POST /api/files HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Length: 1000",
    ]
    writer.write("\r\n".join([*lines, "", "--x\r\n"]).encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def lengthen(database: Path, job_id: str) -> None:
    """Gives the finished job an answer of 100,000 more words, before its end."""
    with sqlite3.connect(database) as rows:
        [last] = rows.execute("SELECT last_seq FROM jobs WHERE id = ?", [job_id]).fetchone()
        [step, data] = rows.execute(
            "SELECT epoch, data FROM job_events WHERE job_id = ? AND type = 'text.delta'", [job_id]
        ).fetchone()
        word = json.dumps(json.loads(data) | {"text": "word "})
        rows.execute("UPDATE job_events SET seq = seq + ? WHERE job_id = ? AND seq = ?", [REPLAYED, job_id, last])
        rows.executemany(
            "INSERT INTO job_events (job_id, seq, epoch, type, data, at) VALUES (?, ?, ?, 'text.delta', ?, 1)",
            ((job_id, last + number, step, word) for number in range(REPLAYED)),
        )
        rows.execute("UPDATE jobs SET last_seq = ? WHERE id = ?", [last + REPLAYED, job_id])
    rows.close()
