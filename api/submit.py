"""Checks that every front end makes before it submits a job, and the job request of a chat turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Header

from api.errors import ApiError
from jobs import Job, JobRequest
from jobs.models import Overlap
from names import CHAT, MODEL
from services.agents import addressed, find
from services.web import WebServices

Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
"""The caller's idempotency key: calls with the same key submit once."""
MAX_FILES = 100
"""For one job. Each file is looked up before the job is accepted."""


async def submit(services: WebServices, request: JobRequest, overlap: Overlap = "next") -> Job:
    """Raises `StoredFileNotFound`, `ThreadNotFound`, `KeyReused`, `AgentGone`, and `ApiError` for an unknown model."""
    request = await _addressed(services, request)
    await check_model(services, request.model)
    names = [(await services.files.get(file_id, request.user)).name for file_id in request.files]
    job = await services.jobs.submit(request, overlap)
    await services.jobs.name_after_files(job, names)
    return job


async def _addressed(services: WebServices, request: JobRequest) -> JobRequest:
    """Returns the request for the agent that is named as the model, or that answers the thread."""
    agent = await find(services.jobs, request.model) if request.model and request.task == CHAT else None
    if agent is None:
        return await addressed(services.jobs, request)
    return await addressed(services.jobs, replace(request, model=None), request.model)


async def check_model(services: WebServices, name: str | None) -> None:
    """Raises `ApiError` 404 for an unknown model."""
    configured = services.settings.model_name
    if name is None or name == configured or name in await services.model.names():
        return
    if await find(services.jobs, name) is not None:
        return
    raise ApiError(
        404,
        "model_not_found",
        f"There is no model {name[:80]!r} here; use {configured!r} or the name of an agent.",
        param="model",
    )


def model_request(
    user: str,
    messages: Sequence[Any],
    parameters: Mapping[str, Any],
    *,
    model: str,
    words: str | None,
    key: str | None,
    arguments: Mapping[str, Any],
    patience_seconds: float | None = None,
) -> JobRequest:
    """Returns the request of a direct model call, with messages and parameters in OpenAI's format.

    words: the user's last message, which becomes the job's title.
    """
    return JobRequest(
        task=MODEL,
        user=user,
        input=words,
        arguments={"messages": list(messages), "parameters": dict(parameters), **arguments},
        model=model,
        patience_seconds=patience_seconds,
        key=key,
    )


async def is_agent(services: WebServices, name: str | None) -> bool:
    """Whether the name is an agent's. A request without a model is for the default agent.

    The server does not start if an agent has the configured model's name, so most requests read no catalogue.
    """
    return name is None or (name != services.settings.model_name and await find(services.jobs, name) is not None)


def chat_request(
    user: str,
    text: str,
    *,
    earlier: Sequence[Mapping[str, Any]] = (),
    files: Sequence[str] = (),
    model: str | None = None,
    key: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    patience_seconds: float | None = None,
) -> JobRequest:
    """Returns the request of a turn without a thread; callers send `earlier` messages in OpenAI's format."""
    brought = {"messages": list(earlier)} if earlier else {}
    return JobRequest(
        task=CHAT,
        user=user,
        input=text,
        arguments={**brought, **(arguments or {})},
        files=tuple(files),
        model=model,
        patience_seconds=patience_seconds,
        key=key,
    )
