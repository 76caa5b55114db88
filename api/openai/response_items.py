"""Items of earlier responses in the input of another, named by their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from api.errors import ApiError
from api.openai.messages import refusal
from api.openai.response_events import Heading, ResponseEvents
from api.openai.response_input import InputItem
from jobs import JobClient, JobNotFound

REFERENCE = "item_reference"
ITEM_ID = re.compile(r"(?:msg|fc)_([0-9a-f]{24})[0-9a-f]{2,8}")
MAX_RESPONSES = 100
"""Whose items one request may name: the log of each is read."""

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
