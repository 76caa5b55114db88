"""The models of one worker: which one is configured, and the one HTTP client they share.

This module is cheap to import. What it needs of LangChain and the OpenAI SDK takes two seconds to import: that is
done on a thread when the worker starts, while its tool hosts start, too.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.calls import Ask, ModelSource, Warn
    from agent.replies import ModelReply


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model answers. With neither key nor URL it is the offline model."""

    model: str
    """The name sent upstream when a request names none."""
    base_url: str | None = None
    """None: OpenAI's own."""
    api_key: str | None = field(default=None, repr=False)
    idle_seconds: float = 60.0
    """Upstream silence after which a call fails."""
    context_tokens: int = 60_000
    """About what of a conversation is sent at most; what is older is left out."""
    complete_limit: int = 64
    """Model calls that the tools of one worker make at a time."""
    requests_per_minute: float | None = None
    """Model calls that the tools of all workers make together; None: any number."""
    tokens_per_minute: float | None = None
    """What these calls read and write together."""

    @property
    def offline(self) -> bool:
        return self.base_url is None and self.api_key is None


class Models:
    """Made by `open_models`. The first call waits until the libraries are loaded."""

    def __init__(self, settings: ModelSettings, source: asyncio.Task[ModelSource], ranking: asyncio.Task[None]) -> None:
        self.settings = settings
        self._source = source
        self._ranking = ranking
        self.complete_slots = asyncio.Semaphore(settings.complete_limit)
        """Hold one around `complete`."""

    async def ready(self) -> None:
        """Wait until a call would start at once."""
        await asyncio.shield(self._source)

    async def all_loaded(self) -> None:
        """Wait until no import of ours keeps the interpreter from the loop."""
        await asyncio.wait({self._source, self._ranking})

    async def chat(self, ask: Ask, *, model: str | None, on_text: Callable[[str], None], warn: Warn) -> ModelReply:
        """A call whose words are shown as they come. Raises `StepFailed`."""
        from agent.calls import call_model

        source = await asyncio.shield(self._source)
        return await call_model(source, ask, model=model, purpose="chat", on_text=on_text, warn=warn)

    async def complete(self, instruction: str, material: str, *, model: str | None, warn: Warn) -> ModelReply:
        """A call for a tool, shown to nobody. Raises `StepFailed`."""
        from agent.calls import call_model, instruct

        source = await asyncio.shield(self._source)
        ask = instruct(instruction, material)
        return await call_model(source, ask, model=model, purpose="complete", warn=warn)


@asynccontextmanager
async def open_models(settings: ModelSettings) -> AsyncIterator[Models]:
    """Give the models; close their HTTP client at the end."""
    source = asyncio.create_task(_open_source(settings), name="load models")
    ranking = asyncio.create_task(_load_ranking(source, settings), name="load ranking")
    try:
        yield Models(settings, source, ranking)
    finally:
        await ranking
        await (await source).aclose()


async def _open_source(settings: ModelSettings) -> ModelSource:
    await asyncio.to_thread(_load, "agent.chat", "agent.offline" if settings.offline else "agent.upstream")
    if settings.offline:
        from agent.offline import OfflineSource

        return OfflineSource()
    from agent.upstream import Upstream

    return Upstream(settings)


async def _load_ranking(source: asyncio.Task[ModelSource], settings: ModelSettings) -> None:
    """What the offline model summarises with takes seconds to import: better now than in the first summary."""
    if settings.offline:
        await asyncio.wait({source})
        await asyncio.to_thread(importlib.import_module, "sklearn.feature_extraction.text")


def _load(*modules: str) -> None:
    for module in modules:
        importlib.import_module(module)
    import langsmith

    # Prompts and answers go to the model and nowhere else, whatever the environment says.
    langsmith.configure(enabled=False)
