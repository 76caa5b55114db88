"""The MCP server: `POST /mcp`. Requests are independent, so any web process can serve each of them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse

from api.access import Caller, Services
from api.descriptions import errors
from api.errors import ApiError
from api.mcp.calls import RefusedCall, Waiting, begin, cancel_keyed, ended_soon, read_number, task_of
from api.mcp.listening import Subscription
from api.mcp.messages import (
    INVALID_PARAMS,
    LEGACY,
    NO_METHOD,
    PREFIX,
    TASKS,
    VERSIONS,
    Call,
    Payload,
    RpcError,
    id_of,
    is_request,
    read_call,
    refusal,
    response,
)
from api.mcp.offers import offers
from api.mcp.tasks import failure
from api.stream import EventStream
from api.strict import read_json
from api.submit import Key
from jobs import Job, JobNotFound
from services.web import WebServices

router = APIRouter(tags=["mcp"])

ADDRESS = "/mcp"
SESSION = "Mcp-Session-Id"
SERVER = {"name": "longhaul", "title": "Longhaul", "version": "0.1.0"}
INSTRUCTIONS = (
    "Every call is a job of the server: it survives crashes and restarts, and is seen at /jobs too. "
    "Long calls are best made as tasks."
)
DISCOVERY_MS, LIST_MS = 3_600_000, 60_000
"""How long a caller may cache a response."""


class Door:
    """One request, its caller, and the services for it."""

    def __init__(self, request: Request, services: WebServices, user: str, key: str | None) -> None:
        self.request = request
        self.services = services
        self.user = user
        self.key = key
        self.base_url = str(request.base_url).rstrip("/")

    @property
    def session(self) -> str | None:
        """The session id that the caller received at `initialize`; no data is stored for it."""
        return self.request.headers.get(SESSION)

    def key_of(self, request_id: object) -> str | None:
        """Returns the idempotency key of a call: the caller's, or for older callers one of session and request."""
        if self.key is None and self.session is not None:
            return f"mcp {self.session[:100]} {request_id!r}"[:200]
        return self.key


@router.post(
    ADDRESS,
    response_class=Response,
    responses={
        200: {"content": {"application/json": {}, "text/event-stream": {}}},
        202: {"description": "A notification was taken."},
        **errors(400, 401, 404, 413, 415, 429, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {"jsonrpc": "2.0", "id": 1, "method": "ping"},
                }
            },
        }
    },
    summary="Call a tool, as an MCP client",
)
async def post(request: Request, user: Caller, services: Services, key: Key = None) -> Response:
    """Take one JSON-RPC message of the Model Context Protocol; see docs/mcp.md."""
    message = await read_json(request)
    try:
        return await _answer(message, Door(request, services, user, key))
    except RpcError as error:
        return JSONResponse(refusal(error, id_of(message)), error.status)


@router.get(
    ADDRESS,
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}, **errors(401, 404, 429, 503)},
    summary="Resume the stream of a call",
)
async def get(
    request: Request,
    user: Caller,
    services: Services,
    last_event_id: Annotated[str | None, Header(description="The last event that was received.")] = None,
) -> Response:
    """Resume the stream of a `tools/call` after a cut. Other streams do not exist: 405."""
    parts = read_number(last_event_id) if last_event_id is not None else None
    if parts is None:
        raise ApiError(405, "method_not_allowed", "Send POST; GET only resumes a stream that was cut.")
    job_id, seq, request_id, token = parts
    job = await services.jobs.get(job_id, user)
    call = Call(
        id=request_id, method="tools/call", params={}, version=LEGACY[0], extensions=frozenset(), progress_token=token
    )
    door = Door(request, services, user, None)
    return _stream(door, Waiting(call=call, job=job, base_url=door.base_url, resumable=True), after=seq)


async def _answer(message: Any, door: Door) -> Response:
    if not is_request(message):
        await _take_notification(message, door)
        return Response(status_code=202)
    call = read_call(message, door.request.headers)
    if call.method == "tools/call":
        return await _call_tool(call, door)
    if call.method == "subscriptions/listen" and call.is_modern:
        return await _listen(call, door)
    answer = METHODS.get(call.method)
    if answer is None or (call.method in ONLY_LEGACY and call.is_modern):
        raise RpcError(NO_METHOD, f"There is no method {call.method[:80]!r}.", status=404 if call.is_modern else 200)
    headers = {SESSION: uuid.uuid4().hex} if call.method == "initialize" else {}
    return JSONResponse(response(call, await answer(call, door)), headers=headers)


async def _take_notification(message: Mapping[str, Any], door: Door) -> None:
    """Older callers cancel by a notification; newer ones close the stream."""
    if message.get("method") == "notifications/cancelled" and door.session is not None:
        params = message.get("params")
        key = door.key_of(params.get("requestId") if isinstance(params, dict) else None)
        if key is not None:
            await cancel_keyed(door.services, door.user, key)


async def _call_tool(call: Call, door: Door) -> Response:
    try:
        job = await begin(door.services, call, door.user, door.key if call.is_modern else door.key_of(call.id))
    except RefusedCall as refused:
        return JSONResponse(response(call, failure(str(refused))))
    if TASKS in call.extensions:
        return await _as_task(call, job, door)
    resumable = door.key is not None or call.version == LEGACY[0]
    return _stream(door, Waiting(call=call, job=job, base_url=door.base_url, resumable=resumable))


async def _as_task(call: Call, job: Job, door: Door) -> Response:
    """Returns the result of a quick job, otherwise the task. Its job is already stored, so the id is valid."""
    await ended_soon(door.services, job)
    told = await _look(job.id, door)
    result: Payload = told.get("result") or {**told, "resultType": "task"}
    return JSONResponse(response(call, result), headers={"X-Job-Id": job.id})


def _stream(door: Door, waiting: Waiting, *, after: int = 0) -> EventStream:
    """If a caller that cannot resume disconnects, the job stops, as the protocol requires."""

    async def stop() -> None:
        await door.services.jobs.cancel(waiting.job.id, waiting.job.user)

    return EventStream(
        waiting.frames(door.services, after=after),
        ping_seconds=door.services.settings.sse_ping_seconds,
        on_leave=stop if waiting.call.is_modern and not waiting.resumable else None,
        headers={"X-Job-Id": waiting.job.id},
    )


async def _listen(call: Call, door: Door) -> EventStream:
    subscription = Subscription(door.services, call, door.user, base_url=door.base_url)
    frames = subscription.frames(await subscription.jobs())
    return EventStream(frames, ping_seconds=door.services.settings.sse_ping_seconds)


async def _initialize(call: Call, _: Door) -> Payload:
    asked = call.params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in LEGACY else LEGACY[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }


async def _discover(_: Call, __: Door) -> Payload:
    return {
        "supportedVersions": [*VERSIONS],
        "capabilities": {"tools": {"listChanged": True}, "extensions": {TASKS: {}}},
        "instructions": INSTRUCTIONS,
        "ttlMs": DISCOVERY_MS,
        "cacheScope": "public",
        "_meta": {f"{PREFIX}serverInfo": SERVER},
    }


async def _ping(_: Call, __: Door) -> Payload:
    return {}


async def _list_tools(call: Call, door: Door) -> Payload:
    told: Payload = {"tools": offers(await door.services.jobs.tools(), await door.services.jobs.agents())}
    return told | ({"ttlMs": LIST_MS, "cacheScope": "private"} if call.is_modern else {})


async def _get_task(call: Call, door: Door) -> Payload:
    call.require_tasks()
    return await _look(call.text("taskId"), door)


async def _update_task(call: Call, door: Door) -> Payload:
    """Accepts answers to a job's questions. Jobs do not ask questions yet, so answers are ignored."""
    call.require_tasks()
    call.mapping("inputResponses")
    await _job(call.text("taskId"), door)
    return {}


async def _cancel_task(call: Call, door: Door) -> Payload:
    call.require_tasks()
    job = await _job(call.text("taskId"), door)
    await door.services.jobs.cancel(job.id, door.user)
    return {}


async def _look(task_id: str, door: Door) -> Payload:
    return await task_of(door.services, await _job(task_id, door), base_url=door.base_url)


async def _job(task_id: str, door: Door) -> Job:
    try:
        return await door.services.jobs.get(task_id, door.user)
    except JobNotFound:
        raise RpcError(INVALID_PARAMS, f"There is no task {task_id[:80]!r}.", status=200) from None


METHODS: Mapping[str, Callable[[Call, Door], Awaitable[Payload]]] = {
    "initialize": _initialize,
    "ping": _ping,
    "server/discover": _discover,
    "tools/list": _list_tools,
    "tasks/get": _get_task,
    "tasks/update": _update_task,
    "tasks/cancel": _cancel_task,
}
ONLY_LEGACY = frozenset({"initialize", "ping"})
