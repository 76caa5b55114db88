"""Checks whether the model endpoint answers, at most once every few seconds."""

from __future__ import annotations

import asyncio
import time
from typing import Literal, Self

import httpx

from settings import Settings

KEPT_SECONDS = 10.0
TIMEOUT_SECONDS = 2.0
OPENAI_URL = "https://api.openai.com/v1"

ModelState = Literal["ok", "unreachable", "offline"]


class ModelProbe:
    """`async with ModelProbe(settings) as probe`."""

    def __init__(self, settings: Settings) -> None:
        self._offline = settings.offline
        self._url = f"{(settings.openai_base_url or OPENAI_URL).rstrip('/')}/models"
        self._asked_at = -KEPT_SECONDS
        self._state: ModelState = "offline"
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def state(self) -> ModelState:
        """Any HTTP response counts as an answer. A wrong key shows only at the first call."""
        async with self._asking:
            if not self._offline and time.monotonic() - self._asked_at >= KEPT_SECONDS:
                self._state = await self._ask()
                self._asked_at = time.monotonic()
        return self._state

    async def _ask(self) -> ModelState:
        try:
            await self._http.get(self._url)
        except httpx.HTTPError:
            return "unreachable"
        return "ok"
