"""What to do on a screen, one thing at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

StepDict = dict[str, Any]
"""Chainlit's own shape of a step."""
ElementDict = dict[str, Any]
"""Chainlit's own shape of an element: a file, a chart, a form … below a message."""


@dataclass(frozen=True)
class Upsert:
    """Show the step, or write these fields over it."""

    step: StepDict


@dataclass(frozen=True)
class Append:
    """Add text to a message."""

    id: str
    text: str


@dataclass(frozen=True)
class Remove:
    """Take a step off."""

    id: str


@dataclass(frozen=True)
class Show:
    """Show the element, in place of the one with its id."""

    element: ElementDict


Change = Upsert | Append | Remove | Show


def merge(changes: Sequence[Change]) -> list[Change]:
    """Text that is appended to one message in a row becomes one change."""
    merged: list[Change] = []
    for change in changes:
        last = merged[-1] if merged else None
        if isinstance(change, Append) and isinstance(last, Append) and last.id == change.id:
            merged[-1] = Append(change.id, last.text + change.text)
        else:
            merged.append(change)
    return merged
