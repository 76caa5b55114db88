"""Reads the file of MCP servers, whose format most MCP clients share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALL_SECONDS = 600.0
"""The time limit for a call of a server's tool if the server's entry has no `timeout`."""

TYPES = {"http": "http", "streamable-http": "http", "streamable_http": "http", "sse": "sse", "stdio": "stdio"}


@dataclass(frozen=True, kw_only=True)
class McpServer:
    """One entry. Its `repr` omits arguments, environment, headers and other fields that may contain secrets."""

    name: str
    kind: str
    """`stdio`, `http` or `sse`."""
    command: str = field(default="", repr=False)
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: str | None = field(default=None, repr=False)
    """The command's working directory."""
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = CALL_SECONDS


def read_servers(path: Path) -> tuple[list[McpServer], list[str]]:
    """Returns the servers of the file, and a sentence for each unusable entry, or for an unusable file."""
    try:
        content = json.loads(path.read_text("utf-8"))
        entries = content["mcpServers"]
    except OSError:
        return [], ["The file of MCP servers cannot be read: check its path and its permissions."]
    except json.JSONDecodeError as error:
        return [], [f"The file of MCP servers is not JSON: look at line {error.lineno}, column {error.colno}."]
    except (UnicodeDecodeError, RecursionError):
        return [], ["The file of MCP servers is not JSON in UTF-8."]
    except (KeyError, TypeError):
        entries = None
    if not isinstance(entries, dict):
        return [], ['The file of MCP servers must be of the form {"mcpServers": {"name": {…}}}.']
    servers: list[McpServer] = []
    problems: list[str] = []
    for name, entry in entries.items():
        if isinstance(entry, dict) and entry.get("disabled") is True:
            continue
        try:
            servers.append(_server(name, entry))
        except ValueError as error:
            problems.append(f"The MCP server {name!r} is not used: {error}.")
    return servers, problems


def _server(name: str, entry: Any) -> McpServer:
    """Returns the entry as a record. Raises ValueError with a message that quotes no value of the entry."""
    if not name.strip():
        raise ValueError("it needs a name")
    if not isinstance(entry, dict) or ("command" in entry) == ("url" in entry):
        raise ValueError('its entry needs either a "command" or a "url"')
    kind = TYPES.get(_text(entry, "type") or _text(entry, "transport") or ("http" if "url" in entry else "stdio"))
    if kind is None or (kind == "stdio") != ("command" in entry):
        raise ValueError('"type" must be "http" or "sse" with a "url", or "stdio" with a "command"')
    url = _text(entry, "url")
    if kind != "stdio" and not url.startswith(("http://", "https://")):
        raise ValueError('"url" must begin with http:// or https://')
    if kind == "stdio" and not _text(entry, "command"):
        raise ValueError('"command" is empty')
    return McpServer(
        name=name,
        kind=kind,
        command=_text(entry, "command"),
        arguments=_texts(entry, "args"),
        environment=_pairs(entry, "env"),
        folder=_text(entry, "cwd") or None,
        url=url,
        headers=_pairs(entry, "headers"),
        timeout_seconds=_seconds(entry),
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f'"{key}" must be a text')
    return value


def _texts(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise ValueError(f'"{key}" must be a list of texts')
    return tuple(value)


def _pairs(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    value = entry.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) and "\0" not in item for item in value.values()):
        raise ValueError(f'"{key}" must name texts')
    return value


def _seconds(entry: Mapping[str, Any]) -> float:
    value = entry.get("timeout", CALL_SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise ValueError('"timeout" must be a number of seconds above 0')
    return float(value)
