"""What the chat's routes answer while the process is not open."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette

from handlers.artifacts import artifact_routes
from handlers.card import ARTIFACTS
from handlers.install import not_serving
from services.lifecycle import Lifecycle, NotServing


async def test_a_download_before_the_start_is_asked_to_come_again() -> None:
    app = Starlette(routes=artifact_routes(Lifecycle()), exception_handlers={NotServing: not_serving})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        answer = await http.get(f"{ARTIFACTS}/job_1/a.csv")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
