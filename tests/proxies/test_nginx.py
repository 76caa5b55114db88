"""Streams, limits and addresses through a real nginx: the default one, and the one in deploy/nginx.conf."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.api.events import Event, events_of, follow, text_of
from tests.endpoint import Endpoint, script
from tests.proxies.conftest import PING_SECONDS
from tests.proxies.nginx import Nginx, default, recommended
from tests.server import Server

LATE_SECONDS = 0.25
"""Of the median word, on a machine that does other things as well."""
TOKENS = 30
RATE = 20


async def submitted(url: str, text: str) -> str:
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/jobs", json={"task": "chat", "input": text})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


async def arrivals(url: str, job_id: str) -> dict[str, float]:
    """When each piece of the answer came, by its event's id."""
    times = {}
    async with (
        httpx.AsyncClient(base_url=url, timeout=30) as client,
        client.stream("GET", f"/api/jobs/{job_id}/events") as response,
    ):
        async for event in events_of(response):
            if event.name == "text.delta":
                times[str(event.id)] = time.perf_counter()
    return times


async def test_the_default_nginx_passes_each_word_on_as_it_comes(
    proxied_server: Server, proxied_endpoint: Endpoint, tmp_path: Path
) -> None:
    question = script(tokens=6, hold=3)
    async with Nginx(tmp_path / "nginx", default(), proxied_server.port) as nginx:
        job_id = await submitted(nginx.url, question)
        events: list[Event] = []
        async with (
            httpx.AsyncClient(base_url=nginx.url, timeout=30) as client,
            client.stream("GET", f"/api/jobs/{job_id}/events") as response,
        ):
            async for event in events_of(response):
                events.append(event)
                if "w2" in text_of(events) and not proxied_endpoint.is_released(question):
                    assert "w3" not in text_of(events)
                    proxied_endpoint.release(question)  # only now: the first words came while the answer was unfinished
    assert response.headers.get("content-encoding") == "gzip"
    assert (text_of(events), events[-1].name) == ("w0 w1 w2 w3 w4 w5 ", "job.completed")


@pytest.mark.parametrize("door", ["/chat-stream", "/v1/chat/completions"])
async def test_the_default_nginx_streams_at_the_other_doors_too(
    proxied_server: Server, proxied_endpoint: Endpoint, tmp_path: Path, door: str
) -> None:
    question = script(tokens=6, hold=3)
    message = {"text": question} if door == "/chat-stream" else {"content": question}
    body = {"stream": True, "model": "test-model", "messages": [{"role": "user", **message}]}
    got = ""
    async with (
        Nginx(tmp_path / "nginx", default(), proxied_server.port) as nginx,
        httpx.AsyncClient(timeout=30) as client,
        client.stream("POST", nginx.url + door, json=body) as answer,
    ):
        async for text in answer.aiter_text():
            got += text
            if "w2" in got and "w3" not in got:
                proxied_endpoint.release(question)
    assert answer.status_code == 200
    assert [f"w{number}" in got for number in range(6)] == [True] * 6


async def test_a_silent_job_outlives_the_time_out_of_the_proxy(
    proxied_server: Server, proxied_endpoint: Endpoint, tmp_path: Path
) -> None:
    question = script(tokens=4, hold=2)
    config = default(location="proxy_read_timeout 1s;")
    events: list[Event] = []
    pings = 0
    async with Nginx(tmp_path / "nginx", config, proxied_server.port) as nginx:
        job_id = await submitted(nginx.url, question)
        async with (
            httpx.AsyncClient(base_url=nginx.url, timeout=30) as client,
            client.stream("GET", f"/api/jobs/{job_id}/events") as response,
        ):
            async for event in events_of(response, comments=True):
                events.append(event)
                pings += event.comment == "ping" and "w1" in text_of(events)
                if pings * PING_SECONDS > 2.2 and not proxied_endpoint.is_released(question):
                    proxied_endpoint.release(question)
    assert (text_of(events), events[-1].name) == ("w0 w1 w2 w3 ", "job.completed")


async def test_words_come_one_by_one_through_the_recommended_nginx_as_without_it(
    proxied_server: Server, tmp_path: Path
) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), proxied_server.port) as nginx:
        job_id = await submitted(nginx.url, script(tokens=TOKENS, rate=RATE))
        ways = [arrivals(url, job_id) for url in (proxied_server.url, nginx.url)]
        direct, through = await asyncio.gather(*ways)
        assert list(direct) == list(through)
        for way in (direct, through):
            assert sum(gaps(way)) > TOKENS / RATE / 2, "the words came all at once"
        late = sorted(abs(b - a) for a, b in zip(gaps(direct), gaps(through), strict=True))
        assert statistics.median(late) <= LATE_SECONDS


def gaps(times: dict[str, float]) -> list[float]:
    moments = list(times.values())
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


async def test_the_recommended_configuration_is_valid(tmp_path: Path) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), 9) as nginx:
        checked = await asyncio.to_thread(
            subprocess.run, [*nginx.command, "-t"], capture_output=True, text=True, timeout=20, check=False
        )
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


async def test_figures_are_for_this_machine_alone(proxied_server: Server, tmp_path: Path) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), proxied_server.port) as nginx:
        statuses = []
        for address in ("127.0.0.1", "127.0.0.2"):
            transport = httpx.AsyncHTTPTransport(local_address=address)
            async with httpx.AsyncClient(transport=transport) as client:
                statuses.append((await client.get(f"{nginx.url}/metrics")).status_code)
    assert statuses == [200, 403]


async def test_what_is_too_large_is_refused_and_uploads_may_be_large(proxied_server: Server, tmp_path: Path) -> None:
    large = b"x" * 6_000_000
    async with (
        Nginx(tmp_path / "nginx", recommended(), proxied_server.port) as nginx,
        httpx.AsyncClient(base_url=nginx.url, timeout=30) as client,
    ):
        refused = await client.post("/api/jobs", content=large, headers={"Content-Type": "application/json"})
        stored = await client.post("/api/files", files={"file": ("large.txt", large, "text/plain")})
    assert (refused.status_code, stored.status_code) == (413, 201), (refused.text, stored.text)


async def test_foreign_hosts_are_refused_and_our_own_pages_may_call(proxied_server: Server, tmp_path: Path) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), proxied_server.port) as nginx:
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx.AsyncClient(base_url=nginx.url, transport=transport) as client:
            foreign = await client.get("/healthz", headers={"Host": "evil.example"})
            own = await client.get("/healthz", headers={"Origin": nginx.url})
    assert (foreign.status_code, own.status_code) == (421, 200)


async def test_a_follower_resumes_through_nginx_without_a_gap(proxied_server: Server, tmp_path: Path) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), proxied_server.port) as nginx:
        job_id = await submitted(nginx.url, script(tokens=10))
        async with httpx.AsyncClient(base_url=nginx.url, timeout=30) as client:
            first = await follow(client, job_id, at_most=3)
            rest = await follow(client, job_id, after=3)
    ids = [event.id for event in first + rest]
    assert ids == [str(number) for number in range(1, len(ids) + 1)]
