"""How much of what is on its way the server holds, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from accounts import BodyLimit, limits

LIMIT, UPLOAD_LIMIT = 100, 1_000
NOBODY_WAITS = 5


class Door:
    """An app behind the limit, which reads whole bodies."""

    def __init__(self) -> None:
        self.limit = BodyLimit(self._app, limit_bytes=LIMIT, uploads=("/files",), upload_bytes=UPLOAD_LIMIT)

    async def _app(self, _: Any, receive: Any, send: Any) -> None:
        try:
            while (await receive()).get("more_body"):
                continue
        except HTTPException as error:
            await send({"type": "http.response.start", "status": error.status_code, "headers": []})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()  # as a stream waits for its client to leave

    async def ask(
        self, *pieces: bytes, headers: Mapping[str, str] | None = None, client: str = "192.0.2.1", path: str = "/"
    ) -> Asked:
        """Begins a request whose body has these pieces, and then nothing more until `finish`."""
        stated = [(name.encode(), value.encode()) for name, value in (headers or {"content-length": "80"}).items()]
        scope = {"type": "http", "path": path, "headers": stated, "client": (client, 1)}
        asked = Asked()
        for piece in pieces:
            asked.pieces.put_nowait({"type": "http.request", "body": piece, "more_body": True})
        asked.task = asyncio.create_task(self.limit(scope, asked.pieces.get, asked.send))
        for _ in range(NOBODY_WAITS):
            await asyncio.sleep(0)
        return asked


class Asked:
    def __init__(self) -> None:
        self.pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None]

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.answered.set_result(message["status"])

    async def finish(self) -> int:
        self.pieces.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        return await self.answered

    async def leave(self) -> None:
        for _ in range(2):  # seen by whoever reads the body, and by whoever waits for the end
            self.pieces.put_nowait({"type": "http.disconnect"})
        await self.task


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ARRIVING_BYTES", 200)


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STALLED_SECONDS", 0.05)


@pytest.mark.usefixtures("little_room")
async def test_bodies_that_do_not_arrive_leave_room_for_other_addresses_and_for_those_that_follow() -> None:
    door = Door()
    first, second = [await door.ask(b"x") for _ in range(2)]
    assert await (await door.ask(b"x")).answered == 503
    neighbour = await door.ask(b"x", client="192.0.2.2")
    assert await neighbour.finish() == 200
    assert await first.finish() == 200
    third = await door.ask(b"x")
    assert await third.finish() == 200
    for asked in (first, second, third, neighbour):
        await asked.leave()
    assert not door.limit._arriving


@pytest.mark.usefixtures("little_room")
async def test_a_body_of_unknown_size_is_held_room_for_as_if_it_were_the_largest_and_an_upload_none() -> None:
    door = Door()
    chunked = {"transfer-encoding": "chunked"}
    for _ in range(2):
        await door.ask(b"x", headers=chunked)
    assert await (await door.ask(b"x", headers=chunked)).answered == 503
    for _ in range(3):
        upload = await door.ask(b"x", headers={"content-length": "900"}, path="/files")
        assert await upload.finish() == 200


@pytest.mark.usefixtures("little_patience")
@pytest.mark.parametrize("path", ["/", "/files"])
async def test_a_body_that_stops_coming_is_given_up(path: str) -> None:
    door = Door()
    asked = await door.ask(b"x" * 50, path=path)
    assert await asked.answered == 408


@pytest.mark.usefixtures("little_patience")
async def test_a_body_that_drips_is_given_up_although_it_never_stops() -> None:
    door = Door()
    asked = await door.ask(b"x")
    while not asked.answered.done():
        asked.pieces.put_nowait({"type": "http.request", "body": b"x", "more_body": True})
        await asyncio.sleep(0.01)
    assert await asked.answered == 408


@pytest.mark.usefixtures("little_patience")
async def test_a_request_whose_body_has_come_waits_for_its_answer_as_long_as_it_takes() -> None:
    door = Door()
    asked = await door.ask(b"x")
    assert await asked.finish() == 200
    await asyncio.sleep(0.2)
    assert not asked.task.done()
    await asked.leave()


@pytest.mark.parametrize("headers", [{"content-length": "101"}, {"transfer-encoding": "chunked"}])
async def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(headers: dict[str, str]) -> None:
    asked = await Door().ask(b"x" * 60, b"x" * 60, headers=headers)
    assert await asked.answered == 413
