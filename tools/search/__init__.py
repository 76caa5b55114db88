"""The index of a conversation: documents and web pages, cut into passages that can be searched and cited."""

from pathlib import Path

from tools.search.index import MARK_END, MARK_START, Hit, IndexStore, IndexUnusable, Passage, Source
from tools.search.passages import cut_passages
from tools.search.sqlite import SqliteIndex

__all__ = [
    "MARK_END",
    "MARK_START",
    "Hit",
    "IndexStore",
    "IndexUnusable",
    "Passage",
    "Source",
    "cut_passages",
    "index_in",
]


def index_in(storage: Path) -> IndexStore:
    """Returns the conversation's index. Its file is created with the first source."""
    return SqliteIndex(storage / "index.db")
