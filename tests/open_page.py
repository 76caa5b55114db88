"""An open page without a browser: its socket, and the messages that Chainlit's page would show."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from itertools import cycle
from typing import Any

import aiohttp
import httpx
import socketio


@asynccontextmanager
async def page_socket(
    browser: httpx.AsyncClient, *, session_id: str, thread_id: str = ""
) -> AsyncIterator[socketio.AsyncClient]:
    """The socket of a page, as Chainlit's own page opens it."""
    cookie = SimpleCookie(dict(browser.cookies))
    async with aiohttp.ClientSession() as session:  # the client's own stays open when it cannot connect
        client = socketio.AsyncClient(reconnection=False, http_session=session)
        await client.connect(
            str(browser.base_url),
            headers={"Cookie": cookie.output(header="", sep=";").strip()},
            auth={"sessionId": session_id, "clientType": "webapp", "threadId": thread_id, "userEnv": "{}"},
            socketio_path="/ws/socket.io",
            transports=["websocket"],
        )
        try:
            yield client
        finally:
            await client.disconnect()


class OpenPage:
    """One open thread. It connects again after each cut and keeps what it shows, as the page in a browser does."""

    def __init__(self, browsers: Sequence[httpx.AsyncClient], thread_id: str) -> None:
        """Each connection goes to the next of the browsers' servers, as through a proxy."""
        self._browsers = cycle(browsers)
        self._thread_id = thread_id
        self._session_id = str(uuid.uuid4())
        self._steps: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()
        self.connections = 0

    async def read(self) -> list[str]:
        """Returns the answers that the page shows at the end of its turns."""
        while not self._ended:
            browser = next(self._browsers)
            with contextlib.suppress(socketio.exceptions.ConnectionError):
                async with page_socket(browser, session_id=self._session_id, thread_id=self._thread_id) as client:
                    await self._follow(client)
            await asyncio.sleep(0.2)
        return self.shown

    @property
    def shown(self) -> list[str]:
        """The texts of the answers so far."""
        texts = (step["output"] for step in self._steps.values() if step["type"] == "assistant_message")
        return [text for text in texts if text]  # a card's message has none

    @property
    def _ended(self) -> bool:
        turns = [step for step in self._steps.values() if step["type"] == "run"]
        return bool(turns) and all(turn.get("end") for turn in turns)

    async def _follow(self, client: socketio.AsyncClient) -> None:
        """Returns when the socket was cut or the turns have ended."""
        self.connections += 1
        client.on("resume_thread", self._replace)
        client.on("new_message", self._put)
        client.on("update_message", self._put)
        client.on("stream_token", self._add)
        client.on("delete_message", self._remove)
        client.on("disconnect", lambda *_: self._changed.set())
        await client.emit("connection_successful")
        while client.connected and not self._ended:
            await self._changed.wait()
            self._changed.clear()

    def _replace(self, thread: dict[str, Any]) -> None:
        self._steps = {step["id"]: step for step in thread["steps"]}
        self._changed.set()

    def _put(self, step: dict[str, Any]) -> None:
        self._steps[step["id"]] = self._steps.get(step["id"], {}) | step
        self._changed.set()

    def _add(self, token: dict[str, Any]) -> None:
        self._steps[token["id"]]["output"] += token["token"]

    def _remove(self, step: dict[str, Any]) -> None:
        self._steps.pop(step["id"], None)
