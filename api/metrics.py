"""The metrics endpoint that a Prometheus server scrapes."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from api.access import Services
from services.metrics import CONTENT_TYPE

router = APIRouter()


@router.get("/metrics", response_class=PlainTextResponse, tags=["health"])
async def metrics(services: Services) -> Response:
    """Show the metrics of this process and of all jobs as Prometheus text."""
    return Response(await services.metrics.render(), media_type=CONTENT_TYPE)
