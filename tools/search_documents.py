"""The tool that searches the conversation's index and returns passages with their source and place."""

import re
from typing import Annotated, Any

from pydantic import Field

from toolkit import ToolContext, ToolError, tool
from toolkit.markdown import escaped
from tools.search import MARK_END, MARK_START, Hit, index_of

_MAX_BYTES = 15_000
"""Maximum for the text of all passages, because the model reads all of it."""


@tool
def search_documents(
    ctx: ToolContext,
    query: Annotated[str, Field(min_length=1, max_length=10_000)],
    limit: Annotated[int, Field(ge=1, le=20)] = 8,
) -> dict[str, Any]:
    """Search the documents and web pages that were indexed in this conversation; best passages first, with page.

    Cite what you use by its source and place.

    Args:
        query: Words to search for; any may occur. Words in quotation marks must occur together.
        limit: How many passages to return at most.
    """
    index = index_of(ctx)
    documents = len(index.sources())
    if not documents:
        raise ToolError(
            "Nothing is indexed in this conversation yet. Run index_documents on its files, or crawl_site on a site."
        )
    hits = _fitting(index.search(query, limit))
    for hit in hits:
        _cite(ctx, hit)
    return {
        "summary": _summary(query, hits, documents),
        "passages": [
            {"source": hit.source.name, "place": _place(hit), "text": hit.text, "score": hit.score} for hit in hits
        ],
        "documents": documents,
    }


def _cite(ctx: ToolContext, hit: Hit) -> None:
    """Shows the web page, or the page of the user's file, on the job card."""
    name = hit.source.name
    if name.startswith(("http://", "https://")):
        ctx.source(hit.source.title or name, url=name)
        return
    page = re.match(r"pages? (\d+)", hit.place)
    file = next((file for file in ctx.files if file.name == name), None)
    ctx.source(name, file=file, page=int(page[1]) if page and file else None)


def _fitting(hits: list[Hit]) -> list[Hit]:
    """Returns the best hits that fit the limit; at least one."""
    size = 0
    for number, hit in enumerate(hits):
        size += len(hit.text.encode())
        if number and size > _MAX_BYTES:
            return hits[:number]
    return hits


def _place(hit: Hit) -> str:
    """Returns the place; for a page without headings, the page's title or its address."""
    return hit.place or hit.source.title or hit.source.name


def _summary(query: str, hits: list[Hit], documents: int) -> str:
    where = "the one indexed document" if documents == 1 else f"the {documents:,} indexed documents"
    shown = escaped(repr(query if len(query) <= 100 else query[:99] + "…"))
    if not hits:
        return f"Nothing in {where} matches {shown}. Try other words."
    count = "1 passage" if len(hits) == 1 else f"{len(hits)} passages"
    return "\n".join([f"{count} of {where} for {shown}:", "", *(_line(hit) for hit in hits)])


def _line(hit: Hit) -> str:
    """Returns a list item: the citation, then the snippet with the found words in bold."""
    source = escaped(hit.source.name)
    if hit.source.name.startswith(("http://", "https://")):
        source = f"[{escaped(hit.source.title or hit.source.name)}](<{hit.source.name}>)"
    place = f", {escaped(hit.place)}" if hit.place else ""
    snippet = escaped(hit.snippet).replace(MARK_START, "**").replace(MARK_END, "**")
    return f"- {source}{place}: {snippet}"
