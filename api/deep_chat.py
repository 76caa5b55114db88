"""The front end for the Deep Chat component: takes a conversation and streams the answer as the component's events."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from api import deep_chat_page
from api.access import Caller, Services
from api.answer import Ended, Failed, Piece, Reasoning, Replaced, Text, follow_answer
from api.deep_chat_body import Attachments, read_question, schema_of_json
from api.errors import ApiError
from api.owned_answer import OwnedAnswer
from api.stream import PING, Frames, data_frame
from api.strict import MULTIPART
from api.submit import Key, chat_request, submit
from jobs import Job, JobClient

router = APIRouter(tags=["deep chat"])
router.include_router(deep_chat_page.router)

ADDRESS = "/chat-stream"
NO_ANSWER = Failed(code="model_no_answer", message="The model returned no answer; ask again.")


class Sentence(BaseModel):
    """The body of an error."""

    error: str


SCHEMAS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": schema_of_json()},
            MULTIPART: {"schema": Attachments.model_json_schema()},
        },
    }
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"example": 'data: {"text":"Hello"}\n\ndata: {"text":" there."}\n\n'}}},
    **{status: {"model": Sentence} for status in (400, 401, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504)},
}


@router.post(
    ADDRESS, response_class=Response, responses=RESPONSES, openapi_extra=SCHEMAS, summary="Ask, from Deep Chat"
)
async def ask(
    request: Request,
    user: Caller,
    services: Services,
    key: Key = None,
    detach: Annotated[bool, Query(description="The answer continues after the client disconnects.")] = False,
) -> Response:
    """Ask a question and stream the answer. `X-Job-Id` is the id of the job, which every other API can follow too."""
    question = await read_question(request, services, user)
    # These arguments restrict an idempotency key to this front end and this value of `detach`. Otherwise a client that
    # disconnects elsewhere could cancel this answer.
    door = {"door": "deep-chat", "detached": detach}
    turn = chat_request(
        user,
        question.text,
        earlier=question.earlier,
        files=question.files,
        model=question.model,
        key=key,
        arguments=door,
        patience_seconds=0,
    )
    job = await submit(services, turn)
    answer = OwnedAnswer(request=request, services=services, job=job, detached=detach)
    return await answer.streamed(frames(services.jobs, job), late_failure, ping=PING)


async def frames(jobs: JobClient, job: Job) -> Frames:
    """Raises `ApiError` when the answer fails before its first word."""
    rendering = Rendering()
    async with contextlib.aclosing(follow_answer(jobs, job)) as batches:
        async for pieces in batches:
            if rendered := b"".join(map(rendering.feed, pieces)):
                yield rendered


def late_failure(error: ApiError) -> bytes:
    return error_frame(error.message)


class Rendering:
    """Renders the pieces of an answer, fed in order, as the component's events.

    The component rejects empty text, so a withdrawal without new text waits for the next text.
    """

    def __init__(self) -> None:
        self._shown = False
        """The screen shows text."""
        self._stale = False
        """All text on the screen was withdrawn."""

    def feed(self, piece: Piece) -> bytes:
        """Returns the piece's event, possibly empty. Raises `ApiError` for a failure before the first word."""
        match piece:
            case Text(text=text):
                return self._text(text, overwrite=self._stale)
            case Replaced(text=text):
                return self._text(text, overwrite=self._shown)
            case Reasoning():
                return b""  # the component has no place for it
            case Ended():
                return b"" if self._shown and not self._stale else self._failure(NO_ANSWER)
            case Failed():
                return self._failure(piece)

    def _text(self, text: str, *, overwrite: bool) -> bytes:
        self._stale = overwrite and not text
        if not text:
            return b""
        self._shown = True
        return data_frame({"text": text, "overwrite": True} if overwrite else {"text": text})

    def _failure(self, failed: Failed) -> bytes:
        if not self._shown:
            raise failed.as_error()
        return error_frame(failed.message)


def error_frame(sentence: str) -> bytes:
    """Must be the last event: the component removes the error from the screen when another event follows."""
    return data_frame({"error": sentence})
