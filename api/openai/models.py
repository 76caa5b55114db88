"""`GET /v1/models`: the model names that the other routes accept."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.access import Caller, Services
from api.openai.descriptions import openai_errors
from api.submit import check_model
from services.agents import find as find_agent

AGENTS = "longhaul-agents"
"""The owner of agents' names; all other names are models of the endpoint."""

router = APIRouter(prefix="/v1/models", tags=["openai"])


class ModelView(BaseModel):
    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "longhaul"


class ModelList(BaseModel):
    object: str = "list"
    data: list[ModelView]


@router.get("", response_model=ModelList, responses=openai_errors(401, 429, 503), summary="List the models")
async def find(user: Caller, services: Services) -> dict[str, Any]:  # noqa: ARG001  # requires a known caller
    """List the models of the endpoint, the default one first, then the agents."""
    models = [{"id": name} for name in await services.model.names()]
    agents = [{"id": agent["name"], "owned_by": AGENTS} for agent in await services.jobs.agents()]
    return {"data": models + agents}


@router.get(
    "/{name:path}", response_model=ModelView, responses=openai_errors(401, 404, 429, 503), summary="Get a model"
)
async def get(name: str, user: Caller, services: Services) -> dict[str, Any]:  # noqa: ARG001
    """Show the model with this name."""
    await check_model(services, name)
    return {"id": name} if await find_agent(services.jobs, name) is None else {"id": name, "owned_by": AGENTS}
