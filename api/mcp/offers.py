"""What `tools/list` offers: the chat, and every entry of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from names import CHAT

Offer = dict[str, Any]

CHAT_OFFER: Offer = {
    "name": CHAT,
    "title": "Ask the assistant",
    "description": "Ask the assistant, which may call every other tool here. It may take minutes.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "input": {"type": "string", "minLength": 1, "description": "What to ask or to do."},
            "files": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Ids of uploaded files that belong to it.",
            },
        },
        "required": ["input"],
        "additionalProperties": False,
    },
}


def offers(tools: Sequence[Mapping[str, Any]], agents: Sequence[Mapping[str, Any]] = ()) -> list[Offer]:
    """Returns the chat, then tools and agents by name, in the format of MCP."""
    found = [*map(_offer, tools), *map(_offer_agent, agents)]
    return [CHAT_OFFER, *sorted(found, key=lambda offer: str(offer["name"]))]


def _offer_agent(agent: Mapping[str, Any]) -> Offer:
    """An agent accepts the arguments of the chat, and its settings."""
    asked, settings = CHAT_OFFER["inputSchema"], agent["parameters"]
    properties = {**settings.get("properties", {}), **asked["properties"]}
    return {
        "name": agent["name"],
        "description": agent["description"],
        "inputSchema": {**settings, **asked, "properties": properties},
    }


def _offer(entry: Mapping[str, Any]) -> Offer:
    return {
        "name": entry["name"],
        "description": entry["description"],
        "inputSchema": {"type": "object", **entry["parameters"]},
    }
