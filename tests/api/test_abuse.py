"""What no caller may do to the server: each gets a 4xx in our own words, at once, and nobody else notices."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest

from tests.api.conftest import KEYS
from tests.server import Server, latencies

JSON_TYPE = {"Content-Type": "application/json"}
DEEP = b"[" * 10_000 + b"]" * 10_000

BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 422),
    "half an object": (b'{"task":', 400),
    "bytes that are no UTF-8": (b'{"task":"chat","input":"\xff"}', 400),
    "half a character": (b'{"task":"chat","input":"\\ud800"}', 400),
    "ten thousand brackets": (b'{"task":"chat","input":' + DEEP + b"}", 400),
    "three hundred brackets": (b'{"task":"simulate_portfolio","arguments":{"years":' + DEEP[9_700:10_300] + b"}}", 400),
    "no number": (b'{"task":"chat","input":NaN}', 400),
    "a number of 400 digits": (b'{"task":"simulate_portfolio","arguments":{"years":1' + b"0" * 400 + b"}}", 400),
    "a number beyond 64 bits": (b'{"task":"simulate_portfolio","arguments":{"years":18446744073709551617}}', 422),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "a task that is a number": (b'{"task":5}', 422),
    "an unknown task": (b'{"task":"nope"}', 422),
    "a turn without words": (b'{"task":"chat","input":"  "}', 422),
    "a turn with arguments": (b'{"task":"chat","input":"a","arguments":{"messages":[]}}', 422),
    "a field too many": (b'{"task":"chat","input":"a","colour":1}', 422),
    "wrong arguments": (b'{"task":"simulate_portfolio","arguments":{"years":"ten"}}', 422),
    "NUL in a text": (b'{"task":"chat","input":"a\\u0000b"}', 400),
    "NUL in a name": (b'{"task":"chat","input":"a","thread_id":"a\\u0000b"}', 400),
    "a way out of a directory": (b'{"task":"chat","input":"a","files":["../../etc/passwd"]}', 422),
    "a file that is not there": (b'{"task":"chat","input":"a","files":["file_000000000000000000000000"]}', 404),
    "an unknown model": (b'{"task":"chat","input":"a","model":"nope"}', 404),
    "too much": (json.dumps({"task": "chat", "input": "x" * 4_100_000}).encode(), 413),
}
INTERNALS = ("Traceback", "site-packages", "pydantic", "sqlite", "Exception", 'File "')


def check_refusal(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text[:300]
    error = answer.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["message"].endswith((".", "`")), error
    assert not any(word in answer.text for word in INTERNALS), answer.text


@pytest.mark.parametrize("name", BODIES)
async def test_a_malformed_job_is_refused(ada: httpx.AsyncClient, name: str) -> None:
    body, status = BODIES[name]
    check_refusal(await ada.post("/api/jobs", content=body, headers=JSON_TYPE), status)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_job_comes_as_json(ada: httpx.AsyncClient, kind: str) -> None:
    answer = await ada.post("/api/jobs", content=b'{"task":"chat","input":"a"}', headers={"Content-Type": kind})
    assert answer.status_code in {415, 422}
    check_refusal(answer, answer.status_code)


async def test_a_body_that_hides_its_size_is_refused_where_it_passes_the_limit(api_server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api_server.port)
    head = f"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEYS['ada']}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    for _ in range(50):  # 5 MB of 4, and the end is still to come
        writer.write(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        await writer.drain()
    async with asyncio.timeout(30):
        assert b" 413 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize("odd", ["..%2f..%2fetc", "%00", "a%00b", "%ff", "%ed%a0%80", "x" * 5_000, "job_" + "0" * 24])
@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", ""), ("GET", "/artifacts/a")],
)
async def test_an_odd_id_is_not_found(ada: httpx.AsyncClient, odd: str, method: str, rest: str) -> None:
    check_refusal(await ada.request(method, f"/api/jobs/{odd}{rest}"), 404)


@pytest.mark.parametrize("name", ["..%2f..%2fjobs.db", "%2e%2e/%2e%2e/jobs.db", "%00", "nope.csv", "%2fetc%2fpasswd"])
async def test_only_artifacts_are_served_as_artifacts(ada: httpx.AsyncClient, name: str) -> None:
    job = (await ada.post("/api/jobs", json={"task": "chat", "input": "tokens=1"})).json()
    check_refusal(await ada.get(f"/api/jobs/{job['id']}/artifacts/{name}"), 404)


@pytest.mark.parametrize(
    "query",
    ["status=odd", "limit=0", "limit=101", "limit=x", "limit=" + "9" * 50, "thread_id=%00", "task=" + "x" * 200],
)
async def test_an_odd_question_is_refused(ada: httpx.AsyncClient, query: str) -> None:
    check_refusal(await ada.get(f"/api/jobs?{query}"), 422)


async def test_an_unknown_address_and_method_are_refused_in_our_words(ada: httpx.AsyncClient) -> None:
    check_refusal(await ada.get("/api/nope"), 404)
    check_refusal(await ada.put("/api/jobs"), 405)


FORMS: dict[str, tuple[dict[str, Any], int]] = {
    "json": ({"content": b"{}", "headers": JSON_TYPE}, 415),
    "no boundary": ({"content": b"a", "headers": {"Content-Type": "multipart/form-data"}}, 400),
    "no part": ({"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422),
    "a broken part": ({"content": b"--x\r\na", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422),
    "a field that is no file": ({"files": {"file": (None, b"hello")}}, 422),
    "two files": ({"files": [("file", ("a", b"1")), ("file", ("b", b"2"))]}, 400),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_malformed_upload_is_refused(ada: httpx.AsyncClient, name: str) -> None:
    request, status = FORMS[name]
    check_refusal(await ada.post("/api/files", **request), status)


async def test_a_files_name_leads_nowhere(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/files", files={"file": ("../../../etc/pass\\wd.txt", b"hello")})
    assert answer.json()["name"] == "wd.txt"


async def test_a_foreign_host_and_a_foreign_page_are_refused(ada: httpx.AsyncClient) -> None:
    check_refusal(await ada.get("/api/jobs", headers={"Host": "evil.example"}), 421)
    for origin in ("https://evil.example", "null"):
        check_refusal(await ada.post("/api/jobs", json={}, headers={"Origin": origin}), 403)


async def test_what_is_refused_before_any_route_is_refused_in_the_doors_own_words(ada: httpx.AsyncClient) -> None:
    elsewhere = {"Host": "evil.example"}
    sentence = (await ada.post("/chat-stream", headers=elsewhere)).json()["error"]
    assert isinstance(sentence, str)
    openai = (await ada.post("/v1/responses", headers=elsewhere)).json()["error"]
    assert set(openai) == {"message", "type", "param", "code"}


async def test_an_allowed_page_may_read_answers_errors_and_streams(ada: httpx.AsyncClient) -> None:
    page = {"Origin": "https://pages.example"}
    job = (await ada.post("/api/jobs", json={"task": "chat", "input": "tokens=1"}, headers=page)).json()
    for path in (f"/api/jobs/{job['id']}", "/api/jobs/nope", f"/api/jobs/{job['id']}/events", "/v1/models/nope"):
        answer = await ada.get(path, headers=page)
        assert answer.headers["access-control-allow-origin"] == "https://pages.example", path
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
    assert (await ada.options("/api/jobs", headers=page | asked)).status_code == 200


MANY: dict[str, tuple[str, bytes]] = {
    "lists in a job": ("/api/jobs", b"[" + b"[]," * 1_200_000 + b"0]"),
    "numbers in arguments": (
        "/api/jobs",
        b'{"task":"index_documents","arguments":{"documents":[' + b"0," * 100_000 + b"0]}}",
    ),
    "messages of Deep Chat": ("/chat-stream", b'{"messages":[' + b"0," * 400_000 + b"0]}"),
    "messages of a completion": (
        "/v1/chat/completions",
        b'{"model":"test-model","messages":[' + b"0," * 400_000 + b"0]}",
    ),
    "parts of a message": (
        "/v1/chat/completions",
        b'{"model":"test-model","messages":[{"role":"user","content":[' + b"0," * 400_000 + b"0]}]}",
    ),
    "items of a response": ("/v1/responses", b'{"model":"test-model","input":[' + b"0," * 400_000 + b"0]}"),
}


@pytest.mark.parametrize("name", MANY)
async def test_a_body_of_very_many_values_holds_up_nobody(
    api_server: Server, ada: httpx.AsyncClient, name: str
) -> None:
    path, body = MANY[name]
    over = threading.Event()
    neighbour = asyncio.create_task(asyncio.to_thread(latencies, f"{api_server.url}/healthz", over))
    answer = await ada.post(path, content=body, headers=JSON_TYPE)
    over.set()
    assert 400 <= answer.status_code < 500, answer.text[:200]
    assert max(await neighbour, default=0) < 1.0


async def test_a_strangers_body_is_not_looked_at(stranger: httpx.AsyncClient) -> None:
    for path in ("/api/jobs", "/v1/chat/completions", "/v1/responses", "/chat-stream"):
        assert (await stranger.post(path, content=b"{", headers=JSON_TYPE)).status_code == 401
