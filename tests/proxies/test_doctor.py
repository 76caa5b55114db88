"""`scripts/doctor`: all is well with the server alone and behind the recommended nginx, and each fault has its name."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.proxies.nginx import Nginx, default, recommended
from tests.server import ROOT, Server


async def examined(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/doctor", url, "--idle", "1", *options]
    return await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def faults(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What failed, and what to change."""
    failed = [line.removeprefix("FAIL").strip() for line in done.stdout.splitlines() if line.startswith("FAIL")]
    return {name: advice for name, _, advice in (line.partition(": ") for line in failed)}


async def test_all_is_well_without_a_proxy_and_it_leaves_nothing_behind(proxied_server: Server) -> None:
    done = await examined(proxied_server.url)
    assert (done.returncode, done.stderr, faults(done)) == (0, "", {}), done.stdout
    assert {line.split(":")[0].removeprefix("ok").strip() for line in done.stdout.splitlines()} == {
        "reachable", "ready", "origin", "host name", "warn  strangers", "cookie", "websocket", "upload", "streams",
        "heartbeats", "idle time-out",
    }, "it serves everybody, and says so"  # fmt: skip
    async with httpx.AsyncClient(base_url=proxied_server.url) as client:
        jobs = (await client.get("/api/jobs?task=simulate_portfolio")).json()["data"]
    assert jobs == []


async def test_all_is_well_behind_the_recommended_nginx(proxied_server: Server, tmp_path: Path) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), proxied_server.port) as nginx:
        done = await examined(nginx.url)
    assert (done.returncode, done.stderr, faults(done)) == (0, "", {}), done.stdout


async def test_each_fault_of_a_bad_configuration_is_named(proxied_server: Server, tmp_path: Path) -> None:
    bad = default(location="proxy_ignore_headers X-Accel-Buffering;")
    async with Nginx(tmp_path / "nginx", bad, proxied_server.port) as nginx:
        done = await examined(nginx.url)
    assert done.returncode == 1
    found = faults(done)
    assert set(found) == {"streams", "websocket", "origin", "upload"}, done.stdout
    assert "proxy_buffering off" in found["streams"]
    assert "proxy_set_header Upgrade" in found["websocket"]
    assert "proxy_set_header Host $http_host" in found["origin"]
    assert "client_max_body_size 201m" in found["upload"]


async def test_a_short_time_out_is_named(proxied_server: Server, tmp_path: Path) -> None:
    config = recommended().replace("proxy_read_timeout 15m;", "proxy_read_timeout 200ms;")
    async with Nginx(tmp_path / "nginx", config, proxied_server.port) as nginx:
        done = await examined(nginx.url)
    assert done.returncode == 1
    assert "proxy_read_timeout" in faults(done)["idle time-out"], done.stdout


async def test_a_host_that_is_not_allowed_is_named(proxied_server: Server, tmp_path: Path) -> None:
    config = recommended().replace("Host              $http_host", "Host              longhaul.example")
    async with Nginx(tmp_path / "nginx", config, proxied_server.port) as nginx:
        done = await examined(nginx.url)
    assert done.returncode == 1
    assert "LONGHAUL_ALLOWED_HOSTS" in faults(done)["host name"]


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    done = await examined(f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, set(faults(done))) == (1, {"reachable"})
