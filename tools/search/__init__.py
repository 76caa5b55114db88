"""The index of a conversation: documents and web pages, cut into passages that can be searched and cited."""

from toolkit import AsyncToolContext, ToolContext
from tools.search.index import MARK_END, MARK_START, Hit, IndexStore, IndexUnusable, Passage, Source
from tools.search.passages import cut_passages
from tools.search.recorded import RecordedIndex

__all__ = [
    "MARK_END",
    "MARK_START",
    "Hit",
    "IndexStore",
    "IndexUnusable",
    "Passage",
    "Source",
    "cut_passages",
    "index_of",
]


def index_of(ctx: ToolContext | AsyncToolContext) -> IndexStore:
    """Returns the conversation's index."""
    return RecordedIndex(ctx.records, ctx.storage)
