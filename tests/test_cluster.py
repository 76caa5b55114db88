"""Several processes on one PostgreSQL, as `scripts/cluster` starts them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.encoding import from_stored
from tests.conftest import model_environment
from tests.endpoint import Endpoint, script
from tests.open_page import OpenPage
from tests.ports import free_port
from tests.server import FIXTURE_TOOLS, ROOT
from tests.waiting import until

SLOW_SECONDS = 120
LONG = {"task": "simulate_portfolio", "arguments": {"years": 60, "paths": 300_000}}


def two_free_ports() -> tuple[int, int]:
    """Neighbours, as `--port` gives them to web processes."""
    while True:
        port = free_port()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port + 1))
            return port, port + 1


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


class Cluster:
    def __init__(self, folder: Path, model: dict[str, str]) -> None:
        self.ports = two_free_ports()
        self._folder = folder
        tools = os.pathsep.join([str(ROOT / "tools"), str(FIXTURE_TOOLS)])
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LONGHAUL_CLUSTER_DIR": str(folder / "cluster"),
            "LONGHAUL_TOOL_DIRS": tools,
            **model,
        }

    def up(self) -> None:
        self.run("up", "--web", "2", "--workers", "2", "--port", str(self.ports[0]))

    def run(self, *arguments: str) -> str:
        command = [str(ROOT / "scripts" / "cluster"), *arguments]
        ended = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=SLOW_SECONDS, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def end(self) -> None:
        self.run("down")
        shutil.rmtree((self._folder / "cluster" / "postgres").read_text().strip())

    def log(self, name: str) -> str:
        return (self._folder / "cluster" / "logs" / f"{name}.log").read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Endpoint() as endpoint:
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), model_environment(endpoint))
        cluster.up()
        yield cluster
        cluster.end()


@pytest.fixture
def api(cluster: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url(cluster.ports[0]), timeout=SLOW_SECONDS) as client:
        yield client


def test_a_job_whose_worker_is_killed_is_finished_by_the_other_one_and_its_log_has_no_hole(
    cluster: Cluster, api: httpx.Client
) -> None:
    job = api.post("/api/jobs", json=LONG).json()["id"]
    events: list[dict[str, Any]] = []
    killed = ""
    with api.stream("GET", f"/api/jobs/{job}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                events.append(from_stored(line.removeprefix("data: ")))
                if events[-1]["type"] == "progress" and not killed:
                    killed = next(name for name in ("worker-1", "worker-2") if job in cluster.log(name))
                    cluster.run("kill", killed)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "job.completed"
    assert [event["attempt"] for event in events if event["type"] == "job.started"] == [1, 2]
    assert sum(event["type"] == "step.finished" and event["step"].endswith("draw a seed") for event in events) == 1
    status = cluster.run("status")
    assert f"{killed} is gone" in status
    assert '"workers":1' in status


def test_a_second_up_replaces_what_was_killed_and_leaves_the_rest_alone(cluster: Cluster, api: httpx.Client) -> None:
    before = [line for line in cluster.run("status").splitlines() if " runs " in line]
    cluster.up()
    after = cluster.run("status")
    assert all(line in after for line in before)
    assert '"workers":2' in after
    chat = api.post(
        "/v1/chat/completions", json={"model": "test-model", "messages": [{"role": "user", "content": "Hello"}]}
    )
    assert chat.json()["choices"][0]["message"]["content"]


async def test_a_page_whose_web_process_dies_goes_on_at_another_one(cluster: Cluster) -> None:
    first, second = (httpx.AsyncClient(base_url=url(port), timeout=SLOW_SECONDS) for port in cluster.ports)
    async with first, second:
        for browser in (first, second):
            (await browser.get("/")).raise_for_status()  # the cookie of a page
        thread = str(uuid.uuid4())
        body = {"task": "chat", "input": script("tokens=100 rate=20 id=pages"), "thread_id": thread}
        job = (await first.post("/api/jobs", json=body)).json()["id"]
        moved, stayed = OpenPage([first, second], thread), OpenPage([second], thread)
        reading = [asyncio.create_task(page.read()) for page in (moved, stayed)]
        await until(
            lambda: any("w20" in text for text in moved.shown), within=SLOW_SECONDS, what="a fifth of the words"
        )
        assert moved.connections == 1
        cluster.run("kill", "web-1")
        answer = "".join(f"w{number} " for number in range(100))
        assert [await page for page in reading] == [[answer], [answer]]
        assert (await second.get(f"/api/jobs/{job}")).json()["result"]["text"] == answer
    assert (moved.connections > 1, stayed.connections) == (True, 1)


@pytest.mark.parametrize("arguments", [["up", "--workers"], ["up", "--workers", "two"], ["kill", "nobody"], []])
def test_what_it_does_not_understand_is_a_line(tmp_path: Path, arguments: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "LONGHAUL_CLUSTER_DIR": str(tmp_path)}
    command = [str(ROOT / "scripts" / "cluster"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: scripts/cluster")
    assert len(ended.stderr.splitlines()) == 1
