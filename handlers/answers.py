"""Whole answers, for Copy: the page has a long one in several messages, and all of them prepared for display."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from handlers.chat import Chat
from handlers.uploads import signed_in
from handlers.words import without_surrogates
from jobs import JobNotFound
from services.lifecycle import Lifecycle

ANSWERS = "/project/answer"


def answer_route(lifecycle: Lifecycle) -> Route:
    async def answer(request: Request) -> PlainTextResponse:
        user, root_id = await signed_in(request), without_surrogates(request.path_params["root_id"])
        try:
            text = await lifecycle.get(Chat).turns.answer(root_id, user)
        except JobNotFound:
            raise HTTPException(404, "This answer no longer exists.") from None
        return PlainTextResponse(text, headers={"Cache-Control": "no-store"})

    return Route(f"{ANSWERS}/{{root_id}}", answer, methods=["GET"])
