"""Deep Chat's door: its requests read, its events byte for byte, its page."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from starlette.datastructures import UploadFile

from api.answer import Ended, Failed, Piece, Replaced, Text
from api.deep_chat import Rendering, late_failure
from api.deep_chat_body import save_all
from api.deep_chat_page import Component, router
from api.errors import ApiError
from api.owned_answer import Abandoned, failing_late
from api.stream import Frames
from files import DirectoryFileStore, FileTooLarge
from services.uploads import Uploads
from tests.api.events import events_of
from tests.endpoint import Endpoint, script
from tests.jobs.engine import sqlite_engine
from tests.server import Server
from tests.waiting import until

WHOLE = Ended(finish_reason="stop", text="", usage=None)
BROKEN = Failed(code="model_stream_broken", message="The model broke off.")

RENDERED: dict[str, tuple[list[Piece], bytes]] = {
    "an event for each piece": (
        [Text(text="Hello"), Text(text=" there."), WHOLE],
        b'data: {"text":"Hello"}\n\ndata: {"text":" there."}\n\n',
    ),
    "lines stay in one event": (
        [Text(text='a\n\n"b"\r'), WHOLE],
        b'data: {"text":"a\\n\\n\\"b\\"\\r"}\n\n',
    ),
    "other scripts as they are": ([Text(text="日本 é"), WHOLE], 'data: {"text":"日本 é"}\n\n'.encode()),
    "half a character escaped": ([Text(text="\ud83d"), WHOLE], b'data: {"text": "\\ud83d"}\n\n'),
    "never an empty text": ([Text(text=""), Text(text="a"), Text(text=""), WHOLE], b'data: {"text":"a"}\n\n'),
    "an answer that the model cut off ends as any other": (
        [Text(text="a"), Ended(finish_reason="length", text="a", usage=None)],
        b'data: {"text":"a"}\n\n',
    ),
    "withdrawn text is overwritten": (
        [Text(text="wrong"), Replaced(text="right"), Text(text="ly"), WHOLE],
        b'data: {"text":"wrong"}\n\ndata: {"text":"right","overwrite":true}\n\ndata: {"text":"ly"}\n\n',
    ),
    "text withdrawn without a new one waits for the next": (
        [Text(text="wrong"), Replaced(text=""), Text(text=""), Text(text="right"), WHOLE],
        b'data: {"text":"wrong"}\n\ndata: {"text":"right","overwrite":true}\n\n',
    ),
    "nothing is overwritten where nothing was": ([Replaced(text="right"), WHOLE], b'data: {"text":"right"}\n\n'),
    "a failure is the last event": (
        [Text(text="a"), BROKEN],
        b'data: {"text":"a"}\n\ndata: {"error":"The model broke off."}\n\n',
    ),
    "an answer of which nothing is left": (
        [Text(text="wrong"), Replaced(text=""), WHOLE],
        b'data: {"text":"wrong"}\n\ndata: {"error":"The model returned no answer; ask again."}\n\n',
    ),
}


@pytest.mark.parametrize("name", RENDERED)
def test_pieces_are_rendered_byte_for_byte(name: str) -> None:
    pieces, expected = RENDERED[name]
    rendering = Rendering()
    assert b"".join(map(rendering.feed, pieces)) == expected


@pytest.mark.parametrize("piece", [BROKEN, WHOLE])
def test_a_failure_before_the_first_word_has_a_status(piece: Piece) -> None:
    with pytest.raises(ApiError) as refused:
        Rendering().feed(piece)
    assert refused.value.status == 502


def said(*texts: str) -> list[dict[str, str]]:
    """A conversation in turns; the user begins."""
    return [{"role": ("user", "ai")[index % 2], "text": text} for index, text in enumerate(texts)]


async def ask(client: httpx.AsyncClient, messages: Any, **more: Any) -> httpx.Response:
    return await client.post("/chat-stream", json={"messages": messages}, **more)


async def job_of(client: httpx.AsyncClient, answer: httpx.Response) -> Any:
    return (await client.get(f"/api/jobs/{answer.headers['x-job-id']}")).json()


async def test_an_answer_is_streamed_and_names_its_job(ada: httpx.AsyncClient) -> None:
    answer = await ask(ada, said(script(tokens=3)))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = [event.data async for event in events_of(answer)]
    assert "".join(event["text"] for event in events) == "w0 w1 w2 "
    assert (await job_of(ada, answer))["status"] == "completed"


async def test_earlier_messages_come_before_the_question(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=1)
    html = {"role": "ai", "html": "<b>not text</b>", "further": [1]}
    assert (await ask(ada, [*said("Hello.", "Good day."), html, *said(question)])).is_success
    [request] = api_endpoint.requests(question)
    asked = [(message["role"], message["content"]) for message in request.messages if message["role"] != "system"]
    assert asked == [("user", "Hello."), ("assistant", "Good day."), ("user", question)]


async def test_a_form_brings_files_and_messages_in_their_order(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=1)
    messages = enumerate(said("a", "b", question), 1)
    fields = {f"message{number}": json.dumps(message) for number, message in reversed([*messages])}
    files = [("files", ("one.txt", b"eins", "text/plain")), ("files", ("two.txt", b"zwei", "text/plain"))]
    answer = await ada.post("/chat-stream", data=fields | {"further": "1"}, files=files)
    assert answer.is_success, answer.text
    [request] = api_endpoint.requests(question)
    assert [message["content"] for message in request.messages if message["role"] == "assistant"] == ["b"]
    assert all(name in str(request.messages[-1]["content"]) for name in ("one.txt", "two.txt"))


async def test_a_message_may_have_files_alone(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    name = f"{script()[3:]}.txt"
    answer = await ada.post("/chat-stream", files=[("files", (name, b"eins", "text/plain"))])
    assert answer.is_success, answer.text
    assert len(api_endpoint.requests(name)) == 1


SOON_SECONDS = 5
DETACH = {"detach": "1"}
JSON = {"Content-Type": "application/json"}
WRONG: dict[str, tuple[int, dict[str, Any]]] = {
    "no JSON": (400, {"content": b"{", "headers": JSON}),
    "nothing": (400, {"content": b"", "headers": JSON}),
    "bad UTF-8": (400, {"content": b'{"messages":[{"role":"user","text":"\xff"}]}', "headers": JSON}),
    "half a character": (400, {"content": b'{"messages":[{"role":"user","text":"\\ud83d"}]}', "headers": JSON}),
    "nested without end": (400, {"content": b"[" * 10_000, "headers": JSON}),
    "another type": (415, {"content": b"hello", "headers": {"Content-Type": "text/plain"}}),
    "a list": (422, {"json": []}),
    "no messages": (422, {"json": {}}),
    "an empty conversation": (422, {"json": {"messages": []}}),
    "messages that are none": (422, {"json": {"messages": "hello"}}),
    "a message that is none": (422, {"json": {"messages": ["hello"]}}),
    "a number for text": (422, {"json": {"messages": [{"role": "user", "text": 5}]}}),
    "a number for a role": (422, {"json": {"messages": [{"role": 5, "text": "hello"}]}}),
    "an unknown role": (422, {"json": {"messages": [{"role": "system", "text": "hello"}]}}),
    "no question": (422, {"json": {"messages": said("hello", "good day")}}),
    "a question of blanks": (422, {"json": {"messages": said(" \n")}}),
    "a question without text": (422, {"json": {"messages": [{"role": "user"}]}}),
    "too many words": (413, {"json": {"messages": said("x" * 4_000_001)}}),
    "a broken form": (
        400,
        {"content": b"no form at all", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ),
    "a form without boundary": (400, {"content": b"", "headers": {"Content-Type": "multipart/form-data"}}),
    "a file that is none": (422, {"files": {"message1": (None, json.dumps(said("a")[0])), "files": (None, "a")}}),
    "a message that is a file": (422, {"files": {"message1": ("a.json", b"{}")}}),
    "a message that is no JSON": (400, {"files": {"message1": (None, "hello")}}),
    "a message without role": (422, {"files": {"message1": (None, '{"text":"a"}')}}),
    "a form with nothing": (422, {"files": {"further": (None, "a")}}),
    "an empty key": (422, {"json": {"messages": said("a")}, "headers": {"Idempotency-Key": ""}}),
    "a detach that is no truth value": (422, {"json": {"messages": said("a")}, "params": {"detach": "perhaps"}}),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_conversation_is_refused_in_a_sentence(ada: httpx.AsyncClient, name: str) -> None:
    status, request = WRONG[name]
    answer = await ada.post("/chat-stream", **request)
    assert answer.status_code == status, answer.text
    error = answer.json().pop("error")
    assert isinstance(error, str)
    assert error.endswith(".")


@pytest.mark.parametrize("body", [{"messages": [0] * 400_000}, [0] * 400_000], ids=["messages", "no conversation"])
async def test_a_body_of_nothing_but_wrong_elements_is_refused_at_once(ada: httpx.AsyncClient, body: Any) -> None:
    begin = time.perf_counter()
    answer = await ada.post("/chat-stream", content=orjson.dumps(body), headers=JSON)
    assert (answer.status_code, time.perf_counter() - begin < SOON_SECONDS) == (422, True)


async def test_a_stranger_is_refused_in_a_sentence(stranger: httpx.AsyncClient) -> None:
    answer = await ask(stranger, said("hello"))
    assert (answer.status_code, answer.json()) == (401, {"error": "Send a known key: Authorization: Bearer KEY."})


async def test_a_failure_before_the_first_word_is_a_status_and_one_sentence(ada: httpx.AsyncClient) -> None:
    answer = await ask(ada, said(script(status=401)))
    assert (answer.status_code, list(answer.json())) == (502, ["error"])
    assert "refused the key" in answer.json()["error"]
    assert (await job_of(ada, answer))["status"] == "failed"


async def test_a_failure_behind_the_headers_is_the_last_event() -> None:
    assert await late(BROKEN.as_error()) == ([b"data: {}\n\n", b'data: {"error":"The model broke off."}\n\n'], 0)


async def test_an_answer_whose_rest_cannot_be_told_is_stopped() -> None:
    error = Abandoned(500, "x", "Ask again.")
    assert await late(error) == ([b"data: {}\n\n", b'data: {"error":"Ask again."}\n\n'], 1)


async def late(error: Exception) -> tuple[list[bytes], int]:
    """The frames, and how often the job was stopped."""
    stops: list[None] = []

    async def begun() -> Frames:
        yield b"data: {}\n\n"
        raise error

    async def stop() -> None:
        stops.append(None)

    return [frame async for frame in failing_late(begun(), late_failure, stop=stop)], len(stops)


async def test_the_same_key_asks_once(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=2)
    key = {"Idempotency-Key": question}
    first, again = [await ask(ada, said(question), headers=key) for _ in range(2)]
    assert first.headers["x-job-id"] == again.headers["x-job-id"]
    assert [event.data["text"] async for event in events_of(again)]
    assert len(api_endpoint.requests(question)) == 1
    for other in (
        await ask(ada, said("another"), headers=key),
        await ask(ada, said(question), headers=key, params=DETACH),
    ):
        assert (other.status_code, list(other.json())) == (409, ["error"])


async def test_a_detached_answer_outlives_its_reader(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=4, hold=2)
    body = {"messages": said(question)}
    async with ada.stream("POST", "/chat-stream?detach=1", json=body) as answer:
        await anext(events_of(answer))
    api_endpoint.release(question)

    async def completed() -> bool:
        return bool((await job_of(ada, answer))["status"] == "completed")

    await until(completed, within=30, what="the job ends by itself")
    assert (await job_of(ada, answer))["result"] == {"text": "w0 w1 w2 w3 "}


async def test_who_leaves_during_an_upload_leaves_nothing_behind(api_server: Server) -> None:
    log, uploads = api_server.log(), api_server.data_dir / "files" / "uploads"
    before = sorted(uploads.glob("*"))
    _, writer = await asyncio.open_connection("127.0.0.1", api_server.port)
    head = (
        f"POST /chat-stream HTTP/1.1\r\nHost: 127.0.0.1:{api_server.port}\r\n"
        "Authorization: Bearer the-secret-key-of-ada\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nhalf of it'
    )
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await api_server.get("/healthz")  # asked later, answered later
    assert (api_server.log(), sorted(uploads.glob("*"))) == (log, before)


async def test_the_files_of_a_form_are_kept_all_or_none(tmp_path: Path) -> None:
    parts = [UploadFile(io.BytesIO(content), filename="a.txt") for content in (b"1234", b"123456")]
    files = DirectoryFileStore(tmp_path)
    async with sqlite_engine(tmp_path) as engine:
        services: Any = SimpleNamespace(uploads=Uploads(engine.store, files, file_bytes=5, user_bytes=99))
        with pytest.raises(FileTooLarge):
            await save_all(services, parts, "ada")
        assert not list((tmp_path / "uploads").glob("*"))
        assert len(await save_all(services, parts[:1], "ada")) == 1


async def test_the_page_runs_only_our_scripts_and_the_known_component(stranger: httpx.AsyncClient) -> None:
    page = await stranger.get("/deep-chat")
    component = Component.load()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert f'content="{component.source()}"' in page.text
    assert f'data-integrity="{component.integrity}"' in page.text
    assert "{{" not in page.text


async def test_without_a_copy_the_component_comes_from_its_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    url = Component.load().url
    monkeypatch.setattr(Component, "source", lambda component: component.url)
    app = FastAPI()
    app.state.frame_ancestors = "'none'"
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        page = await client.get("/deep-chat")
    assert f"script-src 'self' {url};" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "kind", "caching"),
    [
        ("longhaul.js", "text/javascript; charset=utf-8", "no-cache"),
        ("page.js", "text/javascript; charset=utf-8", "no-cache"),
        ("pictures.js", "text/javascript; charset=utf-8", "no-cache"),
        ("page.css", "text/css; charset=utf-8", "no-cache"),
        ("deepChat.bundle.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
    ],
)
async def test_what_the_page_needs_is_served_as_what_it_is(
    stranger: httpx.AsyncClient, name: str, kind: str, caching: str
) -> None:
    origin = "https://pages.example"
    answer = await stranger.get(f"/deep-chat/{name}", headers={"Origin": origin})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["access-control-allow-origin"] == origin
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == (caching, "nosniff")


@pytest.mark.parametrize("name", ["nothing.js", "vendor", "index.html", "..%2fpage.js", "vendor/deepChat.bundle.js"])
async def test_nothing_else_is_served_below_the_page(stranger: httpx.AsyncClient, name: str) -> None:
    answer = await stranger.get(f"/deep-chat/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
