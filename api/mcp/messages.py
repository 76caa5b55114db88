"""JSON-RPC as MCP uses it: a checked request, and the shapes of responses.

It follows https://modelcontextprotocol.io/specification/2026-07-28, and for callers that begin with `initialize`
version 2025-11-25. Both are served without any state between requests.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18")
"""The versions that begin with `initialize`, newest first."""
VERSIONS = (MODERN, *LEGACY)
PREFIX = "io.modelcontextprotocol/"
TASKS = "io.modelcontextprotocol/tasks"
"""The extension whose tasks are our jobs."""
NAMED_BY: Mapping[str, str] = {
    "tools/call": "name",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The parameter that the header `Mcp-Name` repeats, by method."""

INVALID_JSON, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION = -32020, -32021, -32022

Payload = dict[str, Any]
Id = str | int


class RpcError(Exception):
    """The request is refused. `message` is a sentence for people; `status` is the HTTP status."""

    def __init__(self, code: int, message: str, *, status: int = 400, data: Payload | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, whose headers and metadata were checked."""

    id: Id
    method: str
    params: Payload
    version: str
    """The protocol's."""
    extensions: frozenset[str]
    """The extensions that the caller declares on this request."""
    progress_token: Id | None
    """Identifies the request in progress notifications; None: the caller wants none."""

    @property
    def is_modern(self) -> bool:
        return self.version == MODERN

    def text(self, name: str) -> str:
        """Returns a parameter that must be text. Raises `RpcError`."""
        value = self.params.get(name)
        if not isinstance(value, str):
            raise RpcError(INVALID_PARAMS, f"{name}: a text is required.", status=200)
        return value

    def mapping(self, name: str) -> Payload:
        """Returns a parameter that is an object, or an empty one. Raises `RpcError`."""
        value = self.params.get(name)
        if value is not None and not isinstance(value, dict):
            raise RpcError(INVALID_PARAMS, f"{name}: an object is required.", status=200)
        return value or {}

    def require_tasks(self) -> None:
        """Raises `RpcError` for a caller that does not declare the extension."""
        if TASKS not in self.extensions:
            needed: Payload = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
            raise RpcError(MISSING_CAPABILITY, f"Declare the extension {TASKS} on this request.", data=needed)


def is_request(message: Any) -> bool:
    """Whether the message needs a response. Raises `RpcError` if it is not a valid message."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, "Send one JSON-RPC 2.0 message.")
    if "method" not in message and ("result" in message or "error" in message):
        return False
    if not isinstance(message.get("method"), str):
        raise RpcError(INVALID_REQUEST, "method: a text is required.")
    return "id" in message


def id_of(message: Any) -> Id | None:
    """Returns the id, or None if the message has no valid id."""
    found = message.get("id") if isinstance(message, dict) else None
    return found if _is_id(found) else None


def read_call(message: Payload, headers: Mapping[str, str]) -> Call:
    """`headers` have lower-case names. Raises `RpcError`."""
    params, meta = _params_of(message)
    method = message["method"]
    version = _version(method, meta, headers)
    if version == MODERN:
        _check_headers(method, params, headers)
    token = meta.get("progressToken")
    return Call(
        id=message["id"],
        method=method,
        params=params,
        version=version,
        extensions=_extensions(meta, required=version == MODERN),
        progress_token=token if _is_id(token) else None,
    )


def _params_of(message: Payload) -> tuple[Payload, Payload]:
    """Returns the parameters and their metadata."""
    if not _is_id(message["id"]):
        raise RpcError(INVALID_REQUEST, "id: a text or a whole number is required.")
    params = message.get("params", {})
    meta = params.get("_meta", {}) if isinstance(params, dict) else None
    if not isinstance(meta, dict):
        raise RpcError(INVALID_PARAMS, "params: an object is required, and so is its _meta.")
    return params, meta


def _version(method: str, meta: Payload, headers: Mapping[str, str]) -> str:
    """Returns the protocol's version for this request; by default, that of callers who send it only at `initialize`."""
    told, header = meta.get(f"{PREFIX}protocolVersion"), headers.get("mcp-protocol-version")
    if told is None and method == "initialize":
        return LEGACY[0]
    if told is None and (header is None or header in LEGACY):
        return header or LEGACY[-1]
    if told is None and header == MODERN:
        raise RpcError(INVALID_PARAMS, f"_meta: {PREFIX}protocolVersion is required.")
    if told is not None and told != header:
        raise RpcError(HEADER_MISMATCH, "The header MCP-Protocol-Version must be the version that _meta names.")
    if told not in VERSIONS:
        data = {"supported": [*VERSIONS], "requested": str(told or header)[:80]}
        raise RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version.", data=data)
    return str(told)


def _check_headers(method: str, params: Payload, headers: Mapping[str, str]) -> None:
    if headers.get("mcp-method") != method:
        raise RpcError(HEADER_MISMATCH, "The header Mcp-Method must be the method of the request.")
    named = NAMED_BY.get(method)
    if named is not None and _decoded(headers.get("mcp-name")) != params.get(named):
        raise RpcError(HEADER_MISMATCH, f"The header Mcp-Name must be params.{named} of the request.")


def _decoded(value: str | None) -> str | None:
    """Returns the decoded value of a header; values that a header cannot contain are encoded."""
    value = None if value is None else value.strip(" \t")  # the server's parser leaves it
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[len("=?base64?") : -len("?=")], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise RpcError(HEADER_MISMATCH, "The header Mcp-Name is not valid Base64 of UTF-8.") from None


def _extensions(meta: Payload, *, required: bool) -> frozenset[str]:
    capabilities = meta.get(f"{PREFIX}clientCapabilities")
    if not isinstance(capabilities, dict):
        if required:
            raise RpcError(INVALID_PARAMS, f"_meta: {PREFIX}clientCapabilities is required.")
        return frozenset()
    found = capabilities.get("extensions")
    return frozenset(found) if required and isinstance(found, dict) else frozenset()


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) <= 200


def response(call: Call, result: Payload) -> Payload:
    """Returns the response to the call. `resultType` is set unless the result has its own."""
    whole = {"resultType": "complete", **result} if call.is_modern else result
    return {"jsonrpc": "2.0", "id": call.id, "result": whole}


def refusal(error: RpcError, request_id: Id | None = None) -> Payload:
    told: Payload = {"code": error.code, "message": error.message}
    if error.data is not None:
        told["data"] = error.data
    known = {} if request_id is None else {"id": request_id}
    return {"jsonrpc": "2.0", **known, "error": told}


def notification(method: str, params: Payload) -> Payload:
    return {"jsonrpc": "2.0", "method": method, "params": params}
