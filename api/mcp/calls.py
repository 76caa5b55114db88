"""`tools/call`: submits a job; the caller waits for it, or receives it as a task."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors import ApiError, from_exception
from api.mcp.messages import INTERNAL, INVALID_PARAMS, TASKS, Call, Payload, RpcError, refusal
from api.mcp.progress import CallMessages
from api.mcp.tasks import task
from api.owned_answer import KNOWN_ERRORS
from api.stream import Frames
from api.strict import parse
from api.submit import MAX_FILES, chat_request, submit
from api.tools import check_arguments
from background import cancel_and_wait
from jobs import Job, JobEvent, JobFilter, JobNotFound, JobRequest, JobStatus
from jobs.encoding import encode
from names import CHAT
from services.web import WebServices

QUICK_SECONDS = 1.0
"""A caller that accepts tasks receives the result directly if the job ends within this time."""
WAITING_PATIENCE_SECONDS = 30
"""How long a call whose caller waits retries a failing endpoint."""
RETRY_MS = 1_000
"""How soon a caller should reconnect after its stream was cut."""
STOPPING = "The server is stopping; the call may be repeated in a moment."
DELETED = "The job was deleted."
OURS_TO_TELL = (400, 404, 409, 413, 422, 429, 507)
"""Statuses of a refused submit that a model should read, because it may correct its call or wait."""

Batches = AsyncGenerator[Sequence[JobEvent], None]


class ChatArguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    input: str = Field(min_length=1)
    files: list[str] = Field(default_factory=list, max_length=MAX_FILES)


class RefusedCall(Exception):
    """The job was not accepted; the message is for the calling model."""


async def begin(services: WebServices, call: Call, user: str, key: str | None) -> Job:
    """Submits the job of the call. Raises `RpcError` for an unknown tool, `RefusedCall`, `ApiError`."""
    name, arguments = call.text("name"), call.mapping("arguments")
    agents = {str(one["name"]) for one in await services.jobs.agents()}
    known = {CHAT, *agents, *(str(one["name"]) for one in await services.jobs.tools())}
    if name not in known:
        raise RpcError(INVALID_PARAMS, f"There is no tool {name[:80]!r}.", status=200)
    try:
        if name in agents:
            request = await _to_agent(services, name, arguments, user, key)
        else:
            request = await _request(services, name, arguments, user, key)
        return await submit(services, replace(request, patience_seconds=_patience_seconds(services, call)))
    except KNOWN_ERRORS as error:
        told = from_exception(error)
        if told.status not in OURS_TO_TELL:
            raise
        raise RefusedCall(told.message) from None


async def _request(services: WebServices, name: str, arguments: Payload, user: str, key: str | None) -> JobRequest:
    if name == CHAT:
        asked = _chat_arguments(arguments)
        return chat_request(user, asked.input, files=asked.files, key=key)
    files = await check_arguments(services, name, arguments, user)
    return JobRequest(task=name, user=user, arguments=arguments, files=tuple(files), key=key)


async def _to_agent(services: WebServices, name: str, arguments: Payload, user: str, key: str | None) -> JobRequest:
    """Returns the arguments for an agent: the text and files of a chat; all others are its settings."""
    asked = _chat_arguments({key: value for key, value in arguments.items() if key in ChatArguments.model_fields})
    settings = {key: value for key, value in arguments.items() if key not in ChatArguments.model_fields}
    files = [*asked.files, *await check_arguments(services, name, settings, user)]
    turn = chat_request(user, asked.input, files=files, key=key, arguments=settings)
    return replace(turn, task=name, agent=True)


def _patience_seconds(services: WebServices, call: Call) -> float:
    """No caller waits for a task, so it may wait for a failing endpoint as long as the page does."""
    return services.settings.patience_seconds if TASKS in call.extensions else WAITING_PATIENCE_SECONDS


def _chat_arguments(arguments: Payload) -> ChatArguments:
    try:
        return ChatArguments.model_validate(arguments)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part)[:80] for part in ("arguments", *first["loc"]))
        said = str(first["msg"])
        raise RefusedCall(f"{place}: {said[:1].lower()}{said[1:]}.") from None


async def ended_soon(services: WebServices, job: Job) -> bool:
    """Whether the job has ended within `QUICK_SECONDS`."""
    watching = asyncio.ensure_future(_until_end(services, job))
    try:
        await asyncio.wait({watching}, timeout=QUICK_SECONDS)
        return watching.done() and watching.result()
    finally:
        await cancel_and_wait(watching)


async def _until_end(services: WebServices, job: Job) -> bool:
    async with contextlib.aclosing(services.jobs.follow(job.id, job.user)) as batches:
        async for batch in batches:
            if batch[-1].terminal:
                return True
    return False


async def task_of(services: WebServices, job: Job, *, base_url: str) -> Payload:
    days = services.settings.retention_days
    ttl_ms = None if days is None else int(days * 86_400_000)
    summary = (await services.jobs.summaries([job]))[job.id]
    return task(job, summary, now=time.time(), ttl_ms=ttl_ms, base_url=base_url)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The stream of a call whose caller waits for its end."""

    call: Call
    job: Job
    base_url: str
    resumable: bool
    """Whether the caller may resume the stream; its events are then numbered."""

    async def frames(self, services: WebServices, *, after: int = 0) -> Frames:
        """Yields the messages, without those of events up to `after`. The stream begins at once."""
        yield self._opening(after)
        messages, ended = CallMessages(self.call, self.job, base_url=self.base_url), False
        try:
            async with contextlib.aclosing(services.jobs.follow(self.job.id, self.job.user)) as batches:
                async for batch in batches:
                    told = [(event.seq, messages.feed(event)) for event in batch]
                    ended = batch[-1].terminal
                    if unseen := b"".join(self._frame(seq, one) for seq, one in told if one and seq > after):
                        yield unseen
        except JobNotFound:
            ended = True
            yield self._frame(None, refusal(RpcError(INVALID_PARAMS, DELETED), self.call.id))
        if not ended and not self.resumable:
            yield self._frame(None, refusal(RpcError(INTERNAL, STOPPING), self.call.id))

    def _opening(self, after: int) -> bytes:
        """The number from which a caller resumes whose stream was cut before the first event."""
        return b"id: %s\nretry: %d\ndata: \n\n" % (self._number(after), RETRY_MS) if self.resumable else b": begun\n\n"

    def _frame(self, seq: int | None, message: Payload) -> bytes:
        number = b"id: %s\n" % self._number(seq) if self.resumable and seq is not None else b""
        return b"%sevent: message\ndata: %s\n\n" % (number, encode(message))

    def _number(self, seq: int) -> bytes:
        """The job, the event, and the part of the request that the stream repeats, so that no process stores it."""
        return json.dumps([self.job.id, seq, self.call.id, self.call.progress_token], separators=(",", ":")).encode()


def read_number(text: str) -> tuple[str, int, Any, Any] | None:
    """Returns the parts of an event's number, or None if this server did not send it."""
    with contextlib.suppress(ApiError):
        parts = parse(text)
        if isinstance(parts, list) and len(parts) == 4 and isinstance(parts[0], str) and type(parts[1]) is int:
            return parts[0], parts[1], parts[2], parts[3]
    return None


async def cancel_keyed(services: WebServices, user: str, key: str) -> None:
    """Stops the user's job with this idempotency key, if it has not ended."""
    for status in (JobStatus.IN_PROGRESS, JobStatus.QUEUED):
        for job in await services.jobs.jobs(JobFilter(user=user, status=status, limit=200)):
            if job.request.key == key:
                await services.jobs.cancel(job.id, user)
