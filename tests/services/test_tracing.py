"""Traces as a collector gets them, and what a job suffers from one that is away: nothing."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from jobs import JobRequest
from jobs.events import JobCompleted
from jobs.sqlite import SqliteStore
from jobs.transitions import Transitions
from jobs.wake import DatagramWake
from services import tracing
from services.tracing import Traces
from settings import Settings
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.jobs.engine import anything, chat, write
from tests.server import ROOT
from tests.services.collector import Collector, Received
from tests.waiting import until

SOON = 30.0
DONE = JobCompleted(result="hi", usage={"input_tokens": 3, "output_tokens": 5})


@pytest.fixture(autouse=True)
def quiet_exporter() -> Iterator[None]:
    """The level of the exporter's logger as it was."""
    exporter = logging.getLogger("opentelemetry.exporter")
    before = exporter.level
    yield
    exporter.setLevel(before)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.url)
        yield one


@contextlib.asynccontextmanager
async def traced(directory: Path) -> AsyncIterator[SqliteStore]:
    """The store of a process whose traces are on."""
    transitions = Transitions()
    async with (
        DatagramWake(directory / "wake") as wake,
        SqliteStore(directory / "jobs.db", wake, transitions=transitions) as store,
        Traces(store, transitions),
    ):
        yield store
        await store.remove_worker("w1")  # as a worker does at its end


async def run(store: SqliteStore, **fields: object) -> str:
    job = await store.submit(chat("secret words", **fields))
    await store.claim("w1", anything())
    await write(store, job.id, DONE)
    return job.id


def roots(collector: Collector) -> list[Received]:
    return [span for span in collector.spans if not span.parent]


async def test_a_process_that_ends_has_sent_the_jobs_that_it_ended(collector: Collector, tmp_path: Path) -> None:
    async with traced(tmp_path) as store:
        job_ids = {await run(store) for _ in range(3)}
    assert {root.attributes["longhaul.job.id"] for root in roots(collector)} == job_ids
    assert len({root.trace for root in roots(collector)}) == 3
    assert {span.service for span in collector.spans} == {"longhaul"}
    assert b"secret" not in collector.bodies


async def test_a_job_that_nobody_ran_is_sent_by_who_cancelled_it_once(collector: Collector, tmp_path: Path) -> None:
    async with traced(tmp_path) as store:
        job = await store.submit(chat())
        for _ in range(3):
            await store.request_cancel(job.id, "ada")
        await store.submit(chat(thread_id="t"))
        await store.delete_thread("t", "ada")
        lost = await store.submit(chat())
        await store.claim("dead", anything())
        await store.request_cancel(lost.id, "ada")
        assert await store.claim("w1", anything()) is None
    assert [root.attributes["longhaul.job.status"] for root in roots(collector)] == ["cancelled"] * 3


async def test_the_standard_variables_name_the_service_and_sample(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    async with traced(tmp_path) as store:
        await run(store)
    assert {span.service for span in collector.spans} == {"ours"}
    collector.spans.clear()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with traced(tmp_path) as store:
        await run(store)
    assert collector.spans == []


async def test_a_form_that_waits_to_be_filled_in_is_no_trace(collector: Collector, tmp_path: Path) -> None:
    async with traced(tmp_path) as store:
        await store.draft(JobRequest(task="add", user="ada"))
        await run(store)
    assert [root.attributes["longhaul.job.task"] for root in roots(collector)] == ["chat"]


async def test_a_collector_that_is_away_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        async with traced(tmp_path) as store:
            await run(store)
            await until(lambda: caplog.messages, within=SOON, what="a warning")
            await run(store)
    assert caplog.messages == ["traces cannot be sent to the collector; jobs go on without them"]


@pytest.mark.parametrize("listening", [True, False], ids=["says nothing", "is away"])
async def test_a_collector_that_does_not_answer_keeps_a_process_for_a_bounded_time(
    listening: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        async with traced(tmp_path) as store:
            await run(store)
            begun = time.monotonic()
        assert time.monotonic() - begun < 10
    await until(lambda: not closing(), within=30, what="the thread that closes has ended, too")


def closing() -> bool:
    return any(thread.name == "traces-close" for thread in threading.enumerate())


def test_nothing_of_it_is_imported_while_traces_are_off() -> None:
    code = "import services.tracing, sys; print('opentelemetry' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_traces_are_on_when_the_standard_variables_say_so(
    environment: dict[str, str], on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings().traces is on


async def test_a_job_across_a_killed_worker_is_one_trace_with_two_attempts(
    start_server: StartServer, endpoint: Endpoint, collector: Collector
) -> None:
    server = await start_server(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="50", LONGHAUL_WORKER_SLOTS="1"
    )
    words = script(tokens=40, hold=20)
    async with httpx.AsyncClient(base_url=server.url, timeout=SOON) as http, server.jobs() as jobs:
        job = await jobs.submit(JobRequest(task="chat", user="local", input=words))
        await until(lambda: endpoint.requests(words), within=SOON, what="the model is asked")
        waiting = (await http.post("/api/jobs", json={"task": "chat", "input": "secret"})).json()["id"]
        (await http.post(f"/api/jobs/{waiting}/cancel")).raise_for_status()
        server.kill_workers()
        await until(lambda: len(endpoint.requests(words)) == 2, within=2 * SOON, what="another worker asks again")
        endpoint.release(words)
        await until(lambda: len(roots(collector)) == 2, within=2 * SOON, what="both traces")
    mine = {root.attributes["longhaul.job.id"]: root for root in roots(collector)}
    assert mine[waiting].attributes["longhaul.job.status"] == "cancelled"
    spans = [span for span in collector.spans if span.trace == mine[job.id].trace]
    attempts = [span for span in spans if span.name == "attempt"]
    assert sorted(span.attributes["longhaul.attempt"] for span in attempts) == [1, 2]
    assert [span.failed for span in sorted(attempts, key=lambda span: span.begun)] == [True, False]
    assert mine[job.id].attributes["longhaul.job.attempts"] == 2
    assert mine[job.id].attributes["longhaul.job.status"] == "completed"
    assert len({span.id for span in spans}) == len(spans)
    assert {span.trace for span in collector.spans} == {root.trace for root in mine.values()}
