"""Items of earlier responses in the input of another: those named by their ids, and the reasoning before calls."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from api.answer import reasoning_of
from api.errors import ApiError
from api.openai.messages import refusal
from api.openai.response_events import Heading, ResponseEvents
from api.openai.response_input import InputItem
from jobs import Job, JobClient, JobNotFound
from jobs.events import JobCompleted, Terminal
from names import MODEL, REASONING

REFERENCE = "item_reference"
ITEM_ID = re.compile(r"(?:msg|fc|rs)_([0-9a-f]{24})[0-9a-f]{2,8}")
CALL_ID = re.compile(r"call_([0-9a-f]{24})_\d+")
MAX_RESPONSES = 100
"""Whose items one request may name: the log of each is read."""

Message = Mapping[str, Any]
Outputs = dict[str, dict[str, Any]]
"""Items by id."""


async def with_references(items: Sequence[InputItem], jobs: JobClient, user: str) -> list[InputItem]:
    """Returns the items, those of the user's own responses in the place of references to them.

    Raises `ApiError`: 404 for an unknown one, 409 while its response runs.
    """
    read: dict[str, Outputs] = {}
    found = []
    for number, item in enumerate(items):
        if item.type == REFERENCE:
            told = await _item(item.id or "", f"input.{number}.id", jobs, user, read)
            found.append(InputItem.model_validate(told))
        else:
            found.append(item)
    return found


async def with_reasoning(messages: Sequence[Message], jobs: JobClient, user: str, *, model: str) -> list[Message]:
    """Returns the messages, those with calls by this model with the reasoning before the calls, as some endpoints
    require. The reasoning of other models is left out.
    """
    ids = list(dict.fromkeys(filter(None, map(_caller_of, messages))))
    earlier: list[Job] = []
    for job_id in ids[-MAX_RESPONSES:]:
        with contextlib.suppress(JobNotFound):
            earlier.append(await jobs.get(job_id, user))
    own = [job for job in earlier if job.request.task == MODEL and job.request.model == model]
    reasoning = {job_id: _reasoning(log.end) for job_id, log in (await jobs.summaries(own)).items()}
    return [{**_without_reasoning(message), **reasoning.get(_caller_of(message), {})} for message in messages]


def _caller_of(message: Message) -> str:
    """Returns the id of the job whose model made the message's calls; empty if there is none."""
    calls = message.get("tool_calls") or ()
    match = CALL_ID.fullmatch(calls[0]["id"]) if calls else None
    return f"job_{match[1]}" if match is not None else ""


def _reasoning(end: Terminal | None) -> Mapping[str, str]:
    return reasoning_of(end.result) if isinstance(end, JobCompleted) else {}


def _without_reasoning(message: Message) -> Message:
    return {name: value for name, value in message.items() if name not in REASONING}


async def _item(id: str, place: str, jobs: JobClient, user: str, read: dict[str, Outputs]) -> dict[str, Any]:
    match = ITEM_ID.fullmatch(id)
    if match is not None and match[1] not in read:
        if len(read) == MAX_RESPONSES:
            raise refusal(place, f"the input names items of more than {MAX_RESPONSES} responses")
        read[match[1]] = await _outputs(f"job_{match[1]}", place, jobs, user)
    if match is None or id not in read[match[1]]:
        raise ApiError(404, "not_found", f"{place}: there is no item {id[:80]!r}.", param=place)
    return read[match[1]][id]


async def _outputs(job_id: str, place: str, jobs: JobClient, user: str) -> Outputs:
    try:
        job = await jobs.get(job_id, user)
    except JobNotFound:
        return {}
    if not job.request.is_turn:
        return {}
    if not job.ended:
        raise ApiError(409, "conflict", f"{place}: its response has not ended; wait for its end.", param=place)
    events = ResponseEvents(Heading.of(job, model=""))
    async for batch in jobs.log(job.id):
        events.feed_all(batch)
    return {item["id"]: item for item in events.response()["output"]}
