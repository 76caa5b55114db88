"""The tool that answers a question by quoting: the passages of documents that bear on it, word for word."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from toolkit import AsyncToolContext, UploadedFile, tool
from toolkit.markdown import escaped
from tools.documents import Document, attached_documents, read_attached
from tools.quoting import Quote, quotes_for


@tool
async def quote_documents(
    ctx: AsyncToolContext,
    question: Annotated[str, Field(min_length=1, max_length=2_000)],
    documents: list[UploadedFile] | None = None,
    limit: Annotated[int, Field(ge=1, le=20)] = 5,
) -> dict[str, Any]:
    """Quote the passages of PDF, Word, HTML, Markdown and text files that answer a question, with page or section.

    Nothing is reworded and no model is asked. Passages come best first.

    Args:
        question: The question, in the language of the documents.
        documents: The files to look in; by default every file of this conversation except tables.
        limit: How many passages to quote at most; asked for all decisions, actions or risks, all are quoted.
    """
    files = attached_documents(ctx) if documents is None else documents
    read = await read_attached(ctx, files)
    quotes = await asyncio.to_thread(quotes_for, question, read, limit=limit)
    for quote in quotes:
        page = quote.place.number if quote.place.kind == "page" else None
        ctx.source(read[quote.document].name, file=files[quote.document], page=page)
    return {
        "summary": _summary(question, quotes, read),
        "passages": [
            {
                "document": read[quote.document].name,
                "place": quote.place.label,
                "text": " ".join(quote.sentences),
            }
            for quote in quotes
        ],
        "remarks": [remark for document in read for remark in document.remarks],
    }


def _summary(question: str, quotes: Sequence[Quote], documents: Sequence[Document]) -> str:
    if not quotes:
        names = " and ".join(escaped(document.name) for document in documents[:3])
        where = names if len(documents) <= 3 else f"the {len(documents)} documents"
        return f"No passage of {where} bears on “{escaped(question[:200])}”. Try words that the text itself uses."
    return "\n".join(_line(quote, documents) for quote in quotes)


def _line(quote: Quote, documents: Sequence[Document]) -> str:
    """Returns a list item: the passage, with its telling sentences in bold if it has others, then its place."""
    stands_out = 0 < len(quote.telling) < len(quote.sentences)
    sentences = [
        f"**{escaped(sentence)}**" if stands_out and position in quote.telling else escaped(sentence)
        for position, sentence in enumerate(quote.sentences)
    ]
    name = f"{documents[quote.document].name}, " if len(documents) > 1 else ""
    return f"- {' '.join(sentences)} [{escaped(name + quote.place.label)}]"
