"""The tool of the tour: real work, slowed down, that suggests at each stage how to interrupt it."""

import asyncio
import csv
import io
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from language.terms import Terms, language_of, words_of
from toolkit import AsyncToolContext, ToolError, UploadedFile, tool
from toolkit.markdown import escaped
from tools.documents import Document, attached_documents, read_attached

STAGES = (
    "Reload this page: the card stays, the job continues",
    "Open this address in a second tab, and in a window as narrow as a phone; close this one and come back",
    "Kill the worker from a terminal: kill -9 {worker}",
    'Kill the server: pkill -9 -f "chainlit run app.py", then ./scripts/run again',
    "Follow it from a terminal, with your port: curl -N http://localhost:8000/api/events",
    "Press Stop, or Esc, then Retry on this card: finished pages are not read again",
)
"""Suggestions, each shown for the same time."""
WORDS = 12
"""The number of most frequent words in the result."""


@dataclass(frozen=True, kw_only=True)
class Page:
    number: int
    text: str


async def save_words(ctx: AsyncToolContext, document: UploadedFile | None, seconds: int) -> None:
    """Save the words of the pages that were read when the tour is stopped."""
    tour = await _begun(ctx, document, seconds)
    await tour.save(await tour.read_pages())


@tool(partial=save_words)
async def take_tour(
    ctx: AsyncToolContext,
    document: UploadedFile | None = None,
    seconds: Annotated[int, Field(ge=1, le=1_800)] = 120,
) -> dict[str, Any]:
    """Take the tour of Longhaul: a job that reads a document slowly and says at each stage how to try to break it.

    Args:
        document: The document to read; by default the first one of this conversation.
        seconds: How long the tour takes.
    """
    tour = await _begun(ctx, document, seconds)
    counts = await tour.read_pages()
    await tour.save(counts)
    ctx.plan([text.format(worker="PID") for text in STAGES], at=len(STAGES))
    return {"summary": tour.told(counts), "pages": len(counts), "words": _together(counts).total()}


async def _begun(ctx: AsyncToolContext, document: UploadedFile | None, seconds: int) -> "_Tour":
    file = document or next(iter(attached_documents(ctx)), None)
    if file is None:
        raise ToolError("The tour reads a document: attach one, or begin it from the first page.")
    [read] = await read_attached(ctx, [file])
    terms = Terms(await asyncio.to_thread(language_of, read.beginning))  # loads its model
    return _Tour(ctx, read, terms, seconds)


class _Tour:
    """One call: reads page by page, each a part that is never read twice."""

    def __init__(self, ctx: AsyncToolContext, document: Document, terms: Terms, seconds: int) -> None:
        self._ctx = ctx
        self._document = document
        self._pages = _pages(document)
        self._terms = terms
        self._pause = seconds / len(self._pages)

    async def read_pages(self) -> list[dict[str, int]]:
        """Returns how often each page has each word."""
        return await self._ctx.map(self._pages, self._read, limit=1, name="page")

    async def _read(self, page: Page) -> dict[str, int]:
        begun = time.monotonic()
        stage = (page.number - 1) * len(STAGES) // len(self._pages)
        stages = [text.format(worker=os.getppid()) for text in STAGES]  # the parent of tool hosts
        self._ctx.plan(stages, at=stage)
        count = len(self._pages)
        self._ctx.report_progress(page.number - 1, count, f"{page.number - 1} of {count} pages. {stages[stage]}")
        words = await asyncio.to_thread(self._count, page.text)
        await asyncio.sleep(max(0.0, self._pause - (time.monotonic() - begun)))
        self._ctx.report_progress(page.number, count, f"{page.number} of {count} pages. {stages[stage]}")
        return dict(words)

    def _count(self, text: str) -> Counter[str]:
        return Counter(word for word in words_of(text) if word.isalpha() and self._terms.of(word))

    async def save(self, counts: Sequence[dict[str, int]]) -> None:
        """Saves a table: each word, how often it occurs, and on how many pages."""
        pages = Counter(word for page in counts for word in page)
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["word", "count", "pages"])
        writer.writerows((word, count, pages[word]) for word, count in _together(counts).most_common())
        await self._ctx.save_artifact("words.csv", table.getvalue().encode())

    def told(self, counts: Sequence[dict[str, int]]) -> str:
        total = _together(counts)
        often = ", ".join(f"{word} ({count})" for word, count in total.most_common(WORDS))
        return (
            f"The tour is over: {len(counts)} pages of {escaped(self._document.name)}, {total.total():,} words. "
            "The card reports what happened in the meantime; no finished page was read again.\n\n"
            f"The most frequent words: {often}."
        )


def _pages(document: Document) -> list[Page]:
    """Returns the document by place, numbered from 1."""
    texts: dict[int, list[str]] = {}
    for passage in document.passages:
        texts.setdefault(passage.place.number, []).append(passage.text)
    return [Page(number=number, text="\n".join(text)) for number, text in enumerate(texts.values(), 1)]


def _together(counts: Sequence[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for page in counts:
        total.update(page)
    return total
