"""The lines that an operator reads: their shape, and what real processes say of a job's life and of their own."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.logs import LineFormatter
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.server import LINE, Server
from tests.waiting import until

SOON = 30.0
TOOL = '''
from toolkit import tool

@tool
def stumble() -> str:
    """Say something, and fail."""
    print("half of it", end=" ")
    print("and the rest")
    raise ValueError("unexpected")
'''


def record(message: str = "job ended", error: Exception | None = None, **fields: object) -> logging.LogRecord:
    trace = None if error is None else (type(error), error, error.__traceback__)
    one = logging.LogRecord("jobs", logging.INFO, __file__, 1, message, None, trace)
    one.created, one.fields = 1_750_000_000.5, fields
    return one


def test_a_line_of_text_quotes_what_would_be_taken_for_something_else() -> None:
    line = LineFormatter("text", "worker").format(
        record(job="job_1", name='two "words"', by="a\nb", reason=None, n=0.5)
    )
    time, process, *rest = line.split(" ", 2)
    assert time == "2025-06-15T15:06:40.500Z"
    assert process.startswith("worker[")
    assert rest == ['INFO job ended job=job_1 name="two \\"words\\"" by="a\\nb" n=0.5']


def test_words_of_others_begin_no_line() -> None:
    assert "\n" not in LineFormatter("text", "web").format(record("first\r\n2025-06-15 web INFO forged"))


def test_a_line_of_json_holds_the_fields_and_the_trace() -> None:
    try:
        raise ValueError("bad")  # noqa: TRY301
    except ValueError as error:
        line = json.loads(LineFormatter("json", "web").format(record(job="job_1", reason=None, error=error)))
    assert line.pop("exception").endswith("ValueError: bad")
    assert isinstance(line.pop("pid"), int)
    head = {"time": "2025-06-15T15:06:40.500Z", "level": "info", "process": "web", "message": "job ended"}
    assert line == head | {"job": "job_1"}


async def ended(http: httpx.AsyncClient, job_id: str) -> None:
    async def has_ended() -> bool:
        return (await http.get(f"/api/jobs/{job_id}")).json()["finished_at"] is not None

    await until(has_ended, within=SOON, what="the job ends")


async def submitted(http: httpx.AsyncClient, **body: Any) -> str:
    job_id: str = (await http.post("/api/jobs", json=body)).json()["id"]
    return job_id


def told_of(lines: list[dict[str, Any]], **fields: object) -> list[tuple[str, str, str]]:
    return [
        (line["process"], line["level"], line["message"])
        for line in lines
        if all(line.get(name) == value for name, value in fields.items())
    ]


async def test_every_line_of_a_server_is_json_and_tells_each_transition_once(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "stumble.py").write_text(TOOL)
    server = await start_server(LONGHAUL_LOG_FORMAT="json", LONGHAUL_TOOL_DIRS=str(tmp_path))
    server.expected_noise = ("tool failed unexpectedly",)
    async with httpx.AsyncClient(base_url=server.url, timeout=SOON) as http:
        chat = await submitted(http, task="chat", input="Private words tokens=3")
        failing = await submitted(http, task="stumble", arguments={})
        for job_id in (chat, failing):
            await ended(http, job_id)
        page = await http.get("/")
    await asyncio.to_thread(server.stop)
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert told_of(lines, job=chat, process="web") == [("web", "info", "job submitted")]
    claimed_to_ended = [("worker", "info", message) for message in ("job claimed", "step finished", "job ended")]
    assert told_of(lines, job=chat, process="worker") == claimed_to_ended
    said = [("tool", "info", "half of it and the rest"), ("tool", "error", "tool failed unexpectedly")]
    assert told_of(lines, job=failing, tool="stumble", call="call:0") == said
    (step,) = [line for line in lines if line["message"] == "step finished" and line["job"] == failing]
    assert {"task", "user", "attempt", "seconds"} <= step.keys()
    assert (step["step"], step["kind"], step["error"]) == ("call:0", "tool", "tool_failed")
    (end,) = [line for line in lines if line["message"] == "job ended" and line["job"] == failing]
    assert (end["status"], end["reason"]) == ("failed", "tool_failed")
    lives = [("web", "server"), ("worker", "worker")]
    for process, name in lives:
        mine = [line["message"] for line in lines if line["process"] == process]
        assert [one for one in mine if one in {f"{name} {life}" for life in ("started", "draining", "stopped")}] == [
            f"{name} started",
            f"{name} draining",
            f"{name} stopped",
        ]
    assert page.status_code == 200
    assert "Private" not in server.log()
    assert "GET" not in server.log()


async def test_a_killed_worker_and_a_drained_one_leave_their_lines(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    server = await start_server(LONGHAUL_DRAIN_SECONDS="0")
    words = script(tokens=40, hold=20)
    async with httpx.AsyncClient(base_url=server.url, timeout=SOON) as http:
        job_id = await submitted(http, task="chat", input=words)
        await until(lambda: endpoint.requests(words), within=SOON, what="the model is asked")
        server.kill_workers()
        await until(lambda: len(endpoint.requests(words)) == 2, within=SOON, what="another worker asks again")
    await asyncio.to_thread(server.stop)
    of_job = [line.partition(" ")[2] for line in server.log().splitlines() if job_id in line]
    told = [line.partition("[")[0] + line.partition("]")[2].partition(" job=")[0] for line in of_job]
    by_workers = [line for line in told if line.startswith("worker ")]
    assert by_workers == [f"worker INFO job {what}" for what in ("claimed", "taken over", "handed over")]
    assert [line for line in told if line not in by_workers] == ["web INFO job submitted"]
    assert "WARNING worker process ended; starting another" in server.log()
    assert "WARNING dead worker removed worker=" in server.log()


@pytest.mark.parametrize("production", [False, True], ids=["chainlit run", "uvicorn asgi:app"])
async def test_nobody_drowns_or_silences_our_lines(production: bool, tmp_path: Path) -> None:
    server = Server(tmp_path, {"LONGHAUL_EMBEDDED_WORKERS": "1"}, production=production)
    try:
        await server.start()
        for path in ("/", "/healthz", "/nowhere"):
            await server.get(path)
    finally:
        await asyncio.to_thread(server.stop)
    server.check_log()
    lines = server.log().splitlines()
    assert all(LINE.match(line) for line in lines)
    assert [line for line in lines if "INFO server started" in line]
    assert [line for line in lines if server.url.rpartition(":")[2] in line], "where the server can be reached"
    assert len(lines) < 12


async def test_a_level_above_info_silences_transitions(start_server: StartServer) -> None:
    server = await start_server(LONGHAUL_LOG_LEVEL="WARNING", offline=True)
    async with httpx.AsyncClient(base_url=server.url, timeout=SOON) as http:
        await ended(http, await submitted(http, task="chat", input="hello"))
    server.kill_workers()
    await until(lambda: "worker process ended" in server.log(), within=SOON, what="a warning")
    assert " INFO " not in server.log()
