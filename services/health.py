"""Asks the model endpoint for its models, at most once every few seconds: whether it answers, and which it has."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Sequence
from typing import Literal, Self
from urllib.parse import urlsplit

import httpx

from background import cancel_and_wait
from settings import Settings

logger = logging.getLogger(__name__)

KEPT_SECONDS = 10.0
TIMEOUT_SECONDS = 2.0
OPENAI_URL = "https://api.openai.com/v1"
MAX_MODELS = 200
MAX_NAME = 200
MAX_BYTES = 4_000_000
REFUSALS = (401, 403)
_NO_CHAT = re.compile(
    r"embed|tts|whisper|dall-e|image|audio|realtime|moderation|transcri|rerank|sora|speech", re.IGNORECASE
)
"""Names of models that take no messages."""

ModelState = Literal["ok", "unreachable", "offline"]


class ModelProbe:
    """`async with ModelProbe(settings) as probe`."""

    def __init__(self, settings: Settings) -> None:
        self._offline = settings.offline
        self._configured = settings.model_name
        self._url = f"{(settings.openai_base_url or OPENAI_URL).rstrip('/')}/models"
        key = settings.openai_api_key
        self._headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._asked_at = -KEPT_SECONDS
        self._state: ModelState = "offline"
        self._names: Sequence[str] = ()
        self.is_listed = False
        """Whether the endpoint has listed its models since the start."""
        self._asking = asyncio.Lock()
        self._told: str | None = None

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)
        self._starting = asyncio.create_task(self.state(), name="model probe")  # so that the log tells what is wrong
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._starting)
        await self._http.aclose()

    async def state(self) -> ModelState:
        """Any HTTP response counts as an answer. A wrong key shows only at the first call."""
        async with self._asking:
            if not self._offline and time.monotonic() - self._asked_at >= KEPT_SECONDS:
                self._state = await self._ask()
                self._asked_at = time.monotonic()
        return self._state

    async def names(self) -> Sequence[str]:
        """Returns the models that a request may name, the configured one first. What the endpoint said last counts."""
        await self.state()
        others = [name for name in self._names if name != self._configured]
        return [self._configured, *others][:MAX_MODELS]

    async def _ask(self) -> ModelState:
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._http.stream("GET", self._url, headers=self._headers) as response,
            ):
                content = await _beginning(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            self._tell("not reachable")
            return "unreachable"
        self._tell("refuses the key" if response.status_code in REFUSALS else None)
        if response.is_success and (names := _chat_models(content)) is not None:
            self._names, self.is_listed = names, True
        return "ok"

    def _tell(self, problem: str | None) -> None:
        """Log a problem that is new."""
        if problem is not None and problem != self._told:
            fields = {"endpoint": urlsplit(self._url).hostname, "problem": problem}
            logger.warning("model endpoint unusable", extra={"fields": fields})
        self._told = problem


async def _beginning(response: httpx.Response) -> bytes:
    content = b""
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MAX_BYTES:
            break
    return content


def _chat_models(content: bytes) -> Sequence[str] | None:
    """Returns the models that accept messages; None if the answer is not a list."""
    try:
        names = [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    fitting = [name for name in names if 0 < len(name) <= MAX_NAME and name.isprintable()]
    return [name for name in dict.fromkeys(fitting) if not _NO_CHAT.search(name)]
