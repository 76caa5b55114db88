"""Offers the tools of MCP servers as tools."""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import logging
import mimetypes
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
from mcp import types

from toolkit.catalogue import ToolSpec
from toolkit.context import AsyncToolContext
from toolkit.errors import CallCancelled, ToolError
from toolkit.mcp_arguments import SchemaParameters
from toolkit.mcp_client import McpClient
from toolkit.mcp_servers import read_servers
from toolkit.registry import Registry
from toolkit.tool import Tool
from toolkit.wire import JSON

MAX_NAME = 64


async def connect_tools(path: Path, connect_seconds: float) -> Registry:
    """Returns the tools of all servers in the file, with a problem for each server that cannot be reached."""
    for library in ("mcp", "httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)  # they log addresses and bodies with secrets
    servers, problems = read_servers(path)
    tools: dict[str, Tool[..., Any]] = {}
    clients = [McpClient(server, connect_seconds) for server in servers]
    answers = await asyncio.gather(*(client.tools() for client in clients), return_exceptions=True)
    for client, offered in zip(clients, answers, strict=True):
        if isinstance(offered, ToolError):
            problems.append(f"{offered} Its tools are missing until the next start.")
        elif isinstance(offered, BaseException):
            problems.append(f"The MCP server {client.server.name!r} failed unexpectedly.")
        else:
            problems += _add(tools, client, offered)
    return Registry(tools=tools, problems=tuple(problems))


def tool_name(server: str, tool: str) -> str:
    """Returns `server__tool`, with other characters than tool names allow replaced."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}__{tool}")
    name = name if name[0].isalpha() or name[0] == "_" else f"_{name}"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _add(tools: dict[str, Tool[..., Any]], client: McpClient, offered: Iterable[types.Tool]) -> list[str]:
    problems = []
    for one in offered:
        name = tool_name(client.server.name, one.name)
        if name in tools:
            problems.append(f"The tool {one.name!r} of the MCP server {client.server.name!r} has the name of another.")
            continue
        try:
            tools[name] = _tool(name, client, one)
        except SchemaError:
            problems.append(f"The tool {one.name!r} of the MCP server {client.server.name!r} is described wrongly.")
    return problems


def _tool(name: str, client: McpClient, offered: types.Tool) -> Tool[..., Any]:
    """Raises SchemaError."""
    schema = {"properties": {}, **offered.inputSchema, "type": "object"}

    async def call(ctx: AsyncToolContext, /, **arguments: Any) -> JSON:
        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            with contextlib.suppress(CallCancelled, ValueError):  # an exception here would end the connection
                ctx.report_progress(progress, total, message or "")

        result = await client.call(offered.name, arguments, progressed)
        return await _value(ctx, offered.name, result)

    spec = ToolSpec(
        name=name,
        description=offered.description or offered.title or offered.name.replace("_", " "),
        parameters=schema,
        run_in="loop",
        timeout_seconds=client.server.timeout_seconds,
    )
    return Tool(function=call, parameters=SchemaParameters(schema), spec=spec, is_async=True, context=AsyncToolContext)


async def _value(ctx: AsyncToolContext, tool: str, result: types.CallToolResult) -> JSON:
    """Returns structured content, else the texts; saves files as artifacts. Raises ToolError for an error result."""
    texts = [block.text for block in result.content if isinstance(block, types.TextContent)]
    if result.isError:
        raise ToolError("\n".join(texts).strip()[:4000] or f"The tool {tool} failed without saying why.")
    for number, block in enumerate(result.content, start=1):
        if sentence := await _keep(ctx, f"{tool_name('', tool).strip('_')}-{number}", block):
            texts.append(sentence)
    if result.structuredContent is not None:
        return _unwrapped(result.structuredContent)
    return "\n".join(texts)


def _unwrapped(content: Mapping[str, Any]) -> JSON:
    """Returns the content. Servers wrap a value that is not an object into an object with the one key `result`."""
    return content["result"] if set(content) == {"result"} else dict(content)


async def _keep(ctx: AsyncToolContext, name: str, block: types.ContentBlock) -> str:
    """Save a block that is a file. Returns a sentence about it, or an empty string for other blocks."""
    match block:
        case types.ImageContent() | types.AudioContent():
            return await _save(ctx, name, block.data, block.mimeType)
        case types.EmbeddedResource(resource=types.BlobResourceContents() as resource):
            return await _save(ctx, name, resource.blob, resource.mimeType or "application/octet-stream")
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            mime = resource.mimeType or "text/plain"
            file = name + (mimetypes.guess_extension(mime) or ".txt")
            await ctx.save_artifact(file, resource.text.encode("utf-8", "replace"), mime)
            return f"The tool returned the file {file}."
        case types.ResourceLink():
            return f"The tool points to {block.name}: {block.uri}"
    return ""


async def _save(ctx: AsyncToolContext, name: str, data: str, mime: str) -> str:
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error:
        return "The tool returned a file that could not be read."
    file = name + (mimetypes.guess_extension(mime) or "")
    await ctx.save_artifact(file, content, mime)
    return f"The tool returned the file {file}."
