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


def offers(catalogue: Sequence[Mapping[str, Any]]) -> list[Offer]:
    """Returns the tools as MCP lists them, by name, behind the chat."""
    return [CHAT_OFFER, *sorted(map(_offer, catalogue), key=lambda offer: str(offer["name"]))]


def _offer(entry: Mapping[str, Any]) -> Offer:
    return {
        "name": entry["name"],
        "description": entry["description"],
        "inputSchema": {"type": "object", **entry["parameters"]},
    }
