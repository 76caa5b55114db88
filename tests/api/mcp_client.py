"""Speaks MCP by hand, in the version of 2026-07-28, and reads what came back."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from mcp import StdioServerParameters

from api.mcp.messages import MODERN, NAMED_BY, PREFIX, TASKS

ROOT = Path(__file__).resolve().parents[2]
IDS = itertools.count(1)
ENDED = {"completed", "cancelled", "failed"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    messages: Sequence[Mapping[str, Any]]
    """The last is the response."""
    headers: httpx.Headers

    @property
    def result(self) -> Any:
        assert "result" in self.messages[-1], self.messages[-1]
        return self.messages[-1]["result"]

    @property
    def code(self) -> int:
        code: int = self.messages[-1]["error"]["code"]
        return code


def request_of(method: str, params: Mapping[str, Any], *, tasks: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the body and the headers."""
    extensions: dict[str, Any] = {TASKS: {}} if tasks else {}
    meta = {
        f"{PREFIX}protocolVersion": MODERN,
        f"{PREFIX}clientCapabilities": {"extensions": extensions},
        **params.get("_meta", {}),
    }
    body = {"jsonrpc": "2.0", "id": next(IDS), "method": method, "params": {**params, "_meta": meta}}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    if method in NAMED_BY:
        headers["Mcp-Name"] = str(params.get(NAMED_BY[method]))
    return body, headers


async def rpc(
    client: httpx.AsyncClient, method: str, params: Mapping[str, Any] | None = None, *, tasks: bool = True
) -> Answer:
    body, headers = request_of(method, params or {}, tasks=tasks)
    return read(await client.post("/mcp", json=body, headers=headers))


def read(response: httpx.Response) -> Answer:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
        messages = [json.loads(line) for line in lines if line]
    else:
        messages = [response.json()] if response.content else []
    return Answer(status=response.status_code, messages=messages, headers=response.headers)


async def call(client: httpx.AsyncClient, tool: str, *, tasks: bool = True, **arguments: Any) -> Any:
    return (await rpc(client, "tools/call", {"name": tool, "arguments": arguments}, tasks=tasks)).result


async def look(client: httpx.AsyncClient, task_id: str) -> Any:
    return (await rpc(client, "tasks/get", {"taskId": task_id})).result


def stdio(url: str, folder: Path, **environment: str) -> StdioServerParameters:
    """Returns how the official client starts `scripts/mcp`; `folder` is its home."""
    known = {"PATH": os.environ["PATH"], "HOME": str(folder), "LONGHAUL_URL": url}
    return StdioServerParameters(command=sys.executable, args=[str(ROOT / "scripts" / "mcp")], env=known | environment)
