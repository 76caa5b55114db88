"""Lists the tools that the workers offer, and checks arguments against a tool's schema."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Caller, Services
from api.descriptions import errors
from api.errors import ApiError
from api.strict import StrictRoute
from api.submit import MAX_FILES
from names import CHAT
from services.web import WebServices
from toolkit.catalogue import RunIn
from toolkit.parameters import file_ids, parameters_of
from toolkit.problems import problems_of

router = APIRouter(prefix="/api/tools", route_class=StrictRoute, tags=["tools"])


MAX_VALUES = 10_000
"""In a tool's arguments. The check visits each value and collects all problems."""


class ToolView(BaseModel):
    name: str = Field(examples=["simulate_portfolio"])
    description: str
    parameters: dict[str, Any] = Field(description="JSON Schema of the arguments.")
    run_in: RunIn


class ToolList(BaseModel):
    data: list[ToolView]


@router.get("", response_model=ToolList, responses=errors(401, 429, 503), summary="List the tools")
async def find(user: Caller, services: Services) -> dict[str, Any]:  # noqa: ARG001  # requires a known caller
    """List the tools that the workers offer or, without any worker, offered last."""
    return {"data": [{name: tool[name] for name in ToolView.model_fields} for tool in await services.jobs.tools()]}


def has_more_than(limit: int, value: Any) -> bool:
    """Returns whether the value contains more than `limit` values, at any depth; stops counting at the limit."""
    waiting, count = [value], 0
    while waiting and count <= limit:
        count += 1
        one = waiting.pop()
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return count > limit


async def check_arguments(services: WebServices, name: str, arguments: Mapping[str, Any], user: str) -> list[str]:
    """Returns the files that the arguments name. Raises `ApiError` 422 with the field, or `StoredFileNotFound`."""
    tools = [*await services.jobs.tools(), *await services.jobs.agents()]
    tool = next((one for one in tools if one["name"] == name), None)
    if tool is None:
        known = ", ".join([CHAT, *(str(one["name"]) for one in tools)])
        raise ApiError(422, "unknown_task", f"task: there is no {name[:80]!r}; use one of: {known}.", param="task")
    if has_more_than(MAX_VALUES, arguments):
        raise ApiError(422, "invalid_arguments", f"arguments: more than {MAX_VALUES:,} values.", param="arguments")
    problems = await asyncio.to_thread(problems_of, arguments, tool["parameters"])
    for field, sentence in problems.items():
        place = f"arguments.{field}" if field else "arguments"
        raise ApiError(422, "invalid_arguments", f"{place}: {sentence}", param=place)
    files = [*dict.fromkeys(file_id for _, file_id in file_ids(arguments, parameters_of(tool["parameters"])))]
    if len(files) > MAX_FILES:
        raise ApiError(422, "invalid_arguments", f"arguments: more than {MAX_FILES} files.", param="arguments")
    for file_id in files:
        await services.files.get(file_id, user)
    return files
