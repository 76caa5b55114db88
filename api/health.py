"""Is it alive, and is it ready: for people, load balancers and tests."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from services.web import WebServices

logger = logging.getLogger(__name__)


def health_routes(services: Callable[[], WebServices | None]) -> APIRouter:
    """`services` gives None while the process starts or drains."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Alive. Never touches the store."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 when the store answers, with the number of live workers; 503 when it does not, or while draining."""
        current = services()
        if current is None:
            return JSONResponse({"store": "closed", "workers": 0, "model": "unknown"}, 503)
        try:
            await current.store.ping()
            workers = await current.workers()
        except Exception:  # whatever it is, the answer is that the store is out of reach
            logger.exception("the store does not answer")
            return JSONResponse({"store": "unreachable", "workers": 0, "model": "unknown"}, 503)
        return JSONResponse({"store": "ok", "workers": workers, "model": await current.model.state()})

    return router
