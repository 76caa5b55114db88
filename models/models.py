"""The models of one worker: their settings, and the HTTP client that they share.

This module is cheap to import. LangChain and the OpenAI SDK take two seconds to import, so a thread loads them while
the worker starts its tool hosts.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from background import cancel_and_wait
from jobs.errors import StepFailed
from models.rates import Rate
from models.replies import TOO_LONG, ModelReply

if TYPE_CHECKING:
    from models.calls import Ask, ModelSource, OnReasoning, Room
    from models.patience import Patience

RANKING_DELAY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The configuration of the model. With neither key nor URL, the offline model answers."""

    model: str
    """The name sent upstream when a request names none."""
    base_url: str | None = None
    """None: OpenAI's address."""
    api_key: str | None = field(default=None, repr=False)
    idle_seconds: float = 60.0
    """A call fails after this many seconds without data from upstream."""
    context_tokens: int = 60_000
    """The approximate limit on the part of a conversation that is sent; older messages are left out."""
    max_answer_bytes: int = 2_000_000
    """A longer answer is cut there, in UTF-8, and its connection closed."""
    complete_limit: int = 64
    """Maximum concurrent model calls by the tools of one worker."""
    requests_per_minute: float | None = None
    """Maximum model calls a minute of all workers together; None: no limit. Chat turns count, but do not wait."""
    tokens_per_minute: float | None = None
    """Maximum tokens a minute, read and written, of these calls; None: no limit."""

    @property
    def offline(self) -> bool:
        return self.base_url is None and self.api_key is None

    @property
    def rate(self) -> Rate:
        """The limits of the endpoint, shared by all callers."""
        return Rate(
            bucket="endpoint",
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
        )


class Models:
    """The models; made by `open_models`. The first call waits until the libraries are loaded."""

    def __init__(self, settings: ModelSettings, source: asyncio.Task[ModelSource], ranking: asyncio.Task[None]) -> None:
        self.settings = settings
        self._source = source
        self._ranking = ranking
        self.complete_slots = asyncio.Semaphore(settings.complete_limit)
        """Callers of `complete` hold one of these during the call."""

    async def ready(self) -> None:
        """Waits until a call can start without delay."""
        await asyncio.shield(self._source)

    async def all_loaded(self) -> None:
        """Waits until all imports are done, because they block the event loop."""
        await asyncio.wait({self._source, self._ranking})

    async def chat(
        self,
        ask: Ask,
        *,
        model: str | None,
        on_text: Callable[[str], None],
        on_reasoning: OnReasoning | None,
        patience: Patience,
        room: Callable[[], Room | None],
        sent_bytes: int,
    ) -> ModelReply:
        """Runs a call whose text is shown as it arrives. Raises `StepFailed`.

        room: returns what to wait for before more text is read, or None.
        sent_bytes: the text of the answer's earlier calls, which counts towards its limit.
        """
        from models.calls import call_model

        source = await asyncio.shield(self._source)
        return await call_model(
            source,
            ask,
            model=model,
            purpose="chat",
            on_text=on_text,
            on_reasoning=on_reasoning,
            patience=patience,
            room=room,
            limit_bytes=max(0, self.settings.max_answer_bytes - sent_bytes),
        )

    async def complete(self, instruction: str, material: str, *, model: str | None, patience: Patience) -> ModelReply:
        """Runs a call for a tool, whose text is not shown. Raises `StepFailed`, also when the answer is too long."""
        from models.calls import call_model, instruct

        source = await asyncio.shield(self._source)
        ask, limit = instruct(instruction, material), self.settings.max_answer_bytes
        reply = await call_model(source, ask, model=model, purpose="complete", patience=patience, limit_bytes=limit)
        if reply.finish_reason == TOO_LONG:
            raise StepFailed(TOO_LONG, "The model's answer is longer than this server allows.")
        return reply


@asynccontextmanager
async def open_models(settings: ModelSettings) -> AsyncIterator[Models]:
    """Yields the models; closes their HTTP client at the end."""
    source = asyncio.create_task(_open_source(settings), name="load models")
    ranking = asyncio.create_task(_load_ranking(source, settings), name="load ranking")
    try:
        yield Models(settings, source, ranking)
    finally:
        await cancel_and_wait(ranking)
        await (await source).aclose()


async def _open_source(settings: ModelSettings) -> ModelSource:
    await asyncio.to_thread(_load, "models.agents", "models.offline" if settings.offline else "models.upstream")
    if settings.offline:
        from language.terms import language_of
        from models.offline import OfflineSource

        await asyncio.to_thread(language_of, "a first question")  # its tables take half a second
        return OfflineSource()
    from models.upstream import Upstream

    return Upstream(settings)


async def _load_ranking(source: asyncio.Task[ModelSource], settings: ModelSettings) -> None:
    """Imports scikit-learn, which takes seconds, before the offline model first needs it.

    Waits a while, so as not to slow down the first page.
    """
    if settings.offline:
        await asyncio.wait({source})
        await asyncio.sleep(RANKING_DELAY_SECONDS)
        await asyncio.to_thread(importlib.import_module, "sklearn.feature_extraction.text")


def _load(*modules: str) -> None:
    for module in modules:
        importlib.import_module(module)
    import langsmith

    # Prompts and answers must go only to the model, even if the environment configures tracing.
    langsmith.configure(enabled=False)
