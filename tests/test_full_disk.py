"""The disk of the data dir fills up while jobs stream: new work is refused with a sentence, old work waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.events import follow, text_of
from tests.conftest import model_environment
from tests.disk import fill, small_disk
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

SIZE_MB = 24
WORDS = 120
SOON = 30


@pytest.fixture
def server(endpoint: Endpoint, tmp_path: Path) -> Iterator[Server]:
    """A server on a small disk of its own, not started."""
    server = Server(tmp_path, model_environment(endpoint) | {"LONGHAUL_MIN_FREE_MB": "12"})
    with small_disk(server.data_dir, SIZE_MB):
        yield server
        server.stop()
        server.check_log()


async def refusal_of(client: httpx.AsyncClient, megabytes: int) -> str:
    """Why the tool that makes such a file failed."""
    asked = {"task": "make_large_file", "arguments": {"megabytes": megabytes}}
    job = (await client.post("/api/jobs", json=asked)).json()["id"]
    end = (await follow(client, job))[-1]
    assert end.name == "job.failed"
    return str(end.data["error"]["message"])


async def test_a_full_disk_refuses_new_work_with_a_sentence_and_what_runs_waits_for_room(server: Server) -> None:
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=SOON) as client:
        assert (await server.get("/readyz")).json()["disk"] == "ok"
        assert "could not write a file: the disk is full" in await refusal_of(client, SIZE_MB + 1)
        assert "disk is full, so the file was not stored" in await refusal_of(client, SIZE_MB * 6 // 10)

        scripts = [script(tokens=WORDS, rate=20) for _ in range(3)]
        jobs = [(await client.post("/api/jobs", json={"task": "chat", "input": one})).json()["id"] for one in scripts]
        following = [asyncio.create_task(follow(client, job)) for job in jobs]
        assert len(await follow(client, jobs[-1], at_most=6)) == 6
        ballast = fill(server.data_dir)
        await until(lambda: server.log().count("write failed; sending it again") == 3, within=SOON, what="writes fail")

        upload = await client.post("/api/files", files={"file": ("a.txt", b"x" * 100_000)})
        assert (upload.status_code, upload.json()["error"]["code"]) == (507, "no_space")
        submit = await client.post("/api/jobs", json={"task": "chat", "input": "x" * 200_000})
        assert (submit.status_code, submit.headers["retry-after"]) == (503, "2")
        ready = await server.get("/readyz")
        assert (ready.status_code, ready.json()["disk"], ready.json()["workers"]) == (200, "low", 1)
        assert (await client.get("/")).status_code == 200

        ballast.unlink()
        for job, log in zip(jobs, await asyncio.gather(*following), strict=True):
            assert (log[-1].name, (await client.get(f"/api/jobs/{job}")).json()["attempt"]) == ("job.completed", 1)
            assert [int(event.id or 0) for event in log] == list(range(1, len(log) + 1))
            assert text_of(log) == "".join(f"w{number} " for number in range(WORDS))
        assert (await server.get("/readyz")).json()["disk"] == "ok"
    assert server.log().count("disk nearly full") == 1
    assert server.log().count("disk has room again") == 1


async def test_processes_that_start_on_a_full_disk_say_so_and_a_killed_worker_is_back_when_there_is_room(
    server: Server,
) -> None:
    sentence = "longhaul: The disk that holds LONGHAUL_DATA_DIR is full. Make room"
    server.expected_noise = (sentence,)
    await server.start()
    ballast = fill(server.data_dir)
    server.kill_workers()
    await until(lambda: sentence in server.log(), within=SOON, what="the new worker says why it does not start")
    ballast.unlink()
    await server.workers_ready()

    server.kill_everything()
    ballast = fill(server.data_dir)
    told = server.log().count(sentence)
    with pytest.raises(AssertionError, match="the server ended with 2"):
        await server.start()
    assert server.log().count(sentence) == told + 1
    assert "Traceback" not in server.log()
    ballast.unlink()
    await server.start()
