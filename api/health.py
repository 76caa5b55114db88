"""Health checks for people, load balancers and tests: whether the server is alive, and whether it is ready."""

from __future__ import annotations

import logging
import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.access import open_services
from services.lifecycle import NotServing

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive. Never touches the store."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"description": "The store is out of reach, or the process is stopping."}})
async def readyz(request: Request) -> JSONResponse:
    """200 if the store answers, with the workers that have finished loading, all workers' machines, and the queue;
    else, or while draining, 503. The store is `busy` while writes to it wait."""
    try:
        services = open_services(request)
    except NotServing:
        return _not_ready("closed")
    try:
        await services.jobs.ping()
        workers = await services.workers()
        queue = await services.jobs.queue()
        writable = await services.jobs.is_writable()
    except Exception:  # for any reason, the store is out of reach
        logger.exception("store does not answer")
        return _not_ready("unreachable")
    return JSONResponse(
        {
            "store": "ok" if writable else "busy",
            "workers": sum(one.warm for one in workers),
            "machines": len({one.machine for one in workers}),
            "queue": {"jobs": queue.jobs, "seconds": round(queue.seconds(time.time()), 1)},
            "disk": await services.space.state(),
            "model": await services.model.state(),
        }
    )


def _not_ready(store: str) -> JSONResponse:
    return JSONResponse({"store": store, "workers": 0, "model": "unknown"}, 503)
