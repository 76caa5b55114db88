"""`GET /api/agents`: lists the agents."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Caller, Services
from api.descriptions import errors
from api.strict import StrictRoute

router = APIRouter(prefix="/api/agents", route_class=StrictRoute, tags=["agents"])


class AgentView(BaseModel):
    name: str = Field(examples=["assistant"], description="Also a `task` of a job, and a model of `/v1`.")
    description: str
    parameters: dict[str, Any] = Field(description="JSON Schema of its settings, the `arguments` of a job.")
    default: bool = Field(description="Whether it answers when no agent was chosen.")


class AgentList(BaseModel):
    data: list[AgentView]


@router.get("", response_model=AgentList, responses=errors(401, 429, 503), summary="List the agents")
async def find(user: Caller, services: Services) -> dict[str, Any]:  # noqa: ARG001  # requires a known caller
    """List the agents that the workers offer or, without any worker, offered last; the default one first."""
    agents = await services.jobs.agents()
    told = ("name", "description", "parameters")
    return {"data": [{name: one[name] for name in told} | {"default": one is agents[0]} for one in agents]}
