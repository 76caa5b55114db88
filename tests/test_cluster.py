"""Several processes on one PostgreSQL, as `scripts/cluster` starts them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.encoding import from_stored
from tests.server import FIXTURE_TOOLS, ROOT, free_port

SLOW_SECONDS = 120
LONG = {"task": "simulate_portfolio", "arguments": {"years": 60, "paths": 300_000}}


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        tools = os.pathsep.join([str(ROOT / "tools"), str(FIXTURE_TOOLS)])
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LONGHAUL_CLUSTER_DIR": str(folder / "cluster"),
            "LONGHAUL_TOOL_DIRS": tools,
        }

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
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.run("up", "--workers", "2", "--port", str(cluster.port))
    yield cluster
    cluster.end()


@pytest.fixture
def api(cluster: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=SLOW_SECONDS) as client:
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
    cluster.run("up", "--workers", "2", "--port", str(cluster.port))
    after = cluster.run("status")
    assert all(line in after for line in before)
    assert '"workers":2' in after
    chat = api.post(
        "/v1/chat/completions", json={"model": "offline", "messages": [{"role": "user", "content": "Hello"}]}
    )
    assert chat.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("arguments", [["up", "--workers"], ["up", "--workers", "two"], ["kill", "nobody"], []])
def test_what_it_does_not_understand_is_a_line(tmp_path: Path, arguments: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "LONGHAUL_CLUSTER_DIR": str(tmp_path)}
    command = [str(ROOT / "scripts" / "cluster"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: scripts/cluster")
    assert len(ended.stderr.splitlines()) == 1
