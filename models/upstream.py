"""Models behind an OpenAI-compatible HTTP endpoint, and the meaning of its failures."""

from __future__ import annotations

import email.utils
import logging
import re
import time

import httpx2
import openai
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from models.calls import Purpose, TokenStream
from models.faults import LIMITED, ONCE, TRANSIENT, TRUNCATED, CutShort, Fault
from models.models import ModelSettings
from models.streaming import StreamedChat

logger = logging.getLogger("longhaul.models")

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_SECONDS = 10.0
NO_KEY = "none"
"""Sent when no key is configured: the SDK requires one, and local endpoints ignore it."""

UNCOUNTED = Fault(code="model_error", reason="The model endpoint does not count tokens.", pauses=ONCE, silent=True)


class Upstream:
    """The configured endpoint. One HTTP client, one `StreamedChat` per model name."""

    def __init__(self, settings: ModelSettings) -> None:
        self.name = settings.model
        self._settings = settings
        self._timeout = openai.Timeout(None, connect=min(CONNECT_SECONDS, settings.idle_seconds))
        url = httpx2.URL(settings.base_url or OPENAI_URL)
        self._url = str(url.copy_with(username=None, password=None))
        # aiohttp takes a name and password only as a header, not in the address.
        login = httpx2.BasicAuth(url.username, url.password) if url.username else None
        self._client = openai.DefaultAioHttpClient(timeout=self._timeout, auth=login)
        self._models: dict[str, StreamedChat] = {}
        self._asks_usage = True

    def model(self, name: str | None, purpose: Purpose, stream: TokenStream) -> BaseChatModel:  # noqa: ARG002 - one for both
        model = self._models.get(name or self.name)
        if model is None:
            model = self._models[name or self.name] = self._new_model(name or self.name)
        return model.with_tokens(stream)

    def fault(self, error: Exception, stream: TokenStream) -> Fault | None:
        if self._asks_usage and isinstance(error, openai.APIStatusError) and "stream_options" in str(error):
            # Endpoints that cannot count tokens refuse this option: go on without it.
            self._asks_usage = False
            self._models.clear()
            return UNCOUNTED
        return fault_of(error, started=stream.started)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _new_model(self, name: str) -> StreamedChat:
        settings = self._settings
        return StreamedChat(
            model=name,
            base_url=self._url,
            api_key=SecretStr(settings.api_key or NO_KEY),
            http_async_client=self._client,
            timeout=self._timeout,  # else the SDK takes its own
            idle_seconds=settings.idle_seconds,
            stream_chunk_timeout=None,
            max_retries=0,  # our own retries are shown to the user and end at the first token
            streaming=False,  # LangChain asks for the whole answer; the tokens arrive through `with_tokens`
            stream_usage=self._asks_usage,
            use_responses_api=False,
        )


def fault_of(error: Exception, *, started: bool) -> Fault | None:
    """Returns what the error means. `started`: a part of the answer has arrived."""
    match error:
        case CutShort():
            return TRUNCATED
        case openai.APITimeoutError():
            return _timeout()
        case openai.APIConnectionError():
            return TRUNCATED if started else _unreachable()
        case openai.APIStatusError():
            return _status(error)
        case openai.APIError():
            return _midway(error)
        case ValueError() | LookupError() | TypeError() | AttributeError() | RecursionError():
            return _malformed(error)
    return None


def _timeout() -> Fault:
    return Fault(
        code="model_timeout",
        reason="The model did not answer in time.",
        advice="Retry, or raise LONGHAUL_MODEL_IDLE_SECONDS if it is slow to start.",
        pauses=ONCE,
    )


def _unreachable() -> Fault:
    return Fault(
        code="model_unreachable",
        reason="The model endpoint cannot be reached.",
        advice="Check that it is running and that OPENAI_BASE_URL is right, then retry.",
        pauses=TRANSIENT,
    )


def _status(error: openai.APIStatusError) -> Fault:
    match error.status_code:
        case 401 | 403:
            return Fault(
                code="model_auth",
                reason="The model endpoint refused the key.",
                advice="Check OPENAI_API_KEY and what it may use.",
            )
        case 404:
            return Fault(
                code="model_not_found",
                reason="The model endpoint does not know this model.",
                advice="Check LONGHAUL_MODEL and OPENAI_BASE_URL.",
            )
        case 429:
            return _limited(error)
        case 408 | 409 | 425:
            return _failing(error.status_code)
        case status if status >= 500:
            return _failing(status, _retry_after(error))
    return _refused(error)


def _limited(error: openai.APIStatusError) -> Fault:
    if error.code == "insufficient_quota":
        return Fault(
            code="model_rate_limited",
            reason="The quota of the model account is used up.",
            advice="Check its plan and billing.",
        )
    return Fault(
        code="model_rate_limited",
        reason="The model endpoint takes no more requests for now.",
        advice="Wait a little, then retry.",
        pauses=LIMITED,
        retry_after=_retry_after(error),
    )


def _failing(status: int, retry_after: float | None = None) -> Fault:
    return Fault(
        code="model_error",
        reason=f"The model endpoint failed (status {status}).",
        advice="Retry later.",
        pauses=TRANSIENT,
        retry_after=retry_after,
    )


def _refused(error: openai.APIStatusError) -> Fault:
    if _overflows(error):
        return _too_long()
    advice = "Check that the model fits the task."
    if "support" in str(error) and "tool" in str(error):
        advice = "Choose a model that supports tools in LONGHAUL_MODEL."
    return Fault(
        code="model_error",
        reason=f"The model endpoint refused the request (status {error.status_code}).",
        advice=advice,
    )


def _midway(error: openai.APIError) -> Fault:
    if _overflows(error):
        return _too_long()
    return Fault(
        code="model_error",
        reason="The model endpoint reported an error in its answer.",
        advice="Retry to ask again.",
        pauses=TRANSIENT,
    )


OVERFLOWS = ("context_length_exceeded", "context window", "prompt is too long", "tokens exceed the configured limit")


def _overflows(error: openai.APIError) -> bool:
    """Whether the prompt was too long. Endpoints report this with different codes."""
    return any(words in str(error) or words == error.code for words in OVERFLOWS)


def _too_long() -> Fault:
    return Fault(
        code="model_error",
        reason="The conversation is too long for the model.",
        advice="Start a new one, or choose a model with a larger context.",
    )


def _malformed(error: Exception) -> Fault:
    """Returns the fault for a malformed chunk. Chunks are not validated, so the error may be any of Python's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown place"
    # The error's message may quote the answer, so only its type and place are logged.
    fields = {"error": type(error).__name__, "place": place}
    logger.warning("malformed chunk from the model endpoint", extra={"fields": fields})
    return Fault(
        code="model_error",
        reason="The model endpoint sent something unreadable.",
        advice="Retry to ask again.",
        pauses=TRANSIENT,
    )


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Returns seconds, from a number or an HTTP date."""
    header = error.response.headers.get("retry-after", "")
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    date = email.utils.parsedate_tz(header)
    return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
