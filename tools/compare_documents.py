"""The tool that compares two documents and lists their differences."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from toolkit import AsyncToolContext, ToolError, UploadedFile, tool
from toolkit.markdown import escaped
from tools.documents import Document, attached_documents, read_attached
from tools.quoting import Changes, Said, changes_between


@tool
async def compare_documents(
    ctx: AsyncToolContext,
    documents: list[UploadedFile] | None = None,
    limit: Annotated[int, Field(ge=1, le=500)] = 40,
) -> dict[str, Any]:
    """Compare two versions of a document: sentences that changed, were removed or were added, with their places.

    Args:
        documents: The two files, the older one first; by default the two of this conversation that came last.
        limit: How many sentences of each kind to show at most.
    """
    files = attached_documents(ctx)[-2:] if documents is None else documents
    if len(files) != 2:
        raise ToolError("Two documents can be compared at a time: attach two, or name them.")
    first, second = await read_attached(ctx, files)
    changes = await asyncio.to_thread(changes_between, first, second)
    return {
        "summary": _summary(changes, first, second, limit),
        "changed": [[before.text, after.text] for before, after in changes.changed[:limit]],
        "removed": [said.text for said in changes.only_first[:limit]],
        "added": [said.text for said in changes.only_second[:limit]],
        "common": changes.common,
        "remarks": [*first.remarks, *second.remarks],
    }


def _summary(changes: Changes, first: Document, second: Document, limit: int) -> str:
    before, after = escaped(first.name), escaped(second.name)
    if not (changes.changed or changes.only_first or changes.only_second):
        return f"No sentence differs between {before} and {after}: {_count(changes.common)} in both."
    counts = (
        f"{len(changes.changed):,} changed, {len(changes.only_first):,} only in {before}, "
        f"{len(changes.only_second):,} only in {after}"
    )
    parts = [f"{counts}; {_count(changes.common)} in both."]
    if not changes.paired:
        parts.append("So much differs that changed sentences are not paired: each is listed in its document.")
    pairs = [f"- {_place(new)}{escaped(old.text)}\n  → **{escaped(new.text)}**" for old, new in changes.changed]
    parts += _part("Changed", pairs, limit)
    parts += _part(f"Only in {before}", _lines(changes.only_first), limit)
    parts += _part(f"Only in {after}", _lines(changes.only_second), limit)
    return "\n\n".join(parts)


def _count(sentences: int) -> str:
    return "1 sentence stands" if sentences == 1 else f"{sentences:,} sentences stand"


def _part(title: str, lines: Sequence[str], limit: int) -> list[str]:
    if not lines:
        return []
    more = [f"- … and {len(lines) - limit:,} more"] if len(lines) > limit else []
    return [f"**{title}**", "\n".join([*lines[:limit], *more])]


def _lines(found: Sequence[Said]) -> list[str]:
    return [f"- {_place(said)}{escaped(said.text)}" for said in found]


def _place(said: Said) -> str:
    return f"_{escaped(said.heading)}:_ " if said.heading else ""
