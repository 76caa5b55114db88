"""Single changes to a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

StepDict = dict[str, Any]
"""A step in Chainlit's format."""
ElementDict = dict[str, Any]
"""An element in Chainlit's format: a file, chart, form or similar below a message."""


@dataclass(frozen=True)
class Upsert:
    """Show a step, or overwrite these fields of it."""

    step: StepDict


@dataclass(frozen=True)
class AddText:
    """Add text to a message."""

    id: str
    text: str


@dataclass(frozen=True)
class Remove:
    """Remove a step."""

    id: str


@dataclass(frozen=True)
class Show:
    """Show an element; replace the one with the same id."""

    element: ElementDict


Change = Upsert | AddText | Remove | Show


def merge(changes: Sequence[Change]) -> list[Change]:
    """Combines consecutive appends to the same message into one."""
    merged: list[Change] = []
    for change in changes:
        last = merged[-1] if merged else None
        if isinstance(change, AddText) and isinstance(last, AddText) and last.id == change.id:
            merged[-1] = AddText(change.id, last.text + change.text)
        else:
            merged.append(change)
    return merged
