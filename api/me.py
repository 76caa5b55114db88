"""The caller, for pages that show more to administrators."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.access import Caller, access_of
from api.descriptions import errors

router = APIRouter(prefix="/api/me", tags=["jobs"])


class Me(BaseModel):
    name: str
    admin: bool = Field(description="Whether the caller may see, stop and delete the jobs of others.")


@router.get("", responses=errors(401, 429, 503), summary="Who calls")
async def me(request: Request, user: Caller) -> Me:
    """Return the caller's name, and whether the caller is an administrator."""
    return Me(name=user, admin=user in access_of(request).admins)
