"""Documents as tools see them: files of many kinds read into sentences that know their place, and citations of it."""

from tools.documents.chunks import Chunk, cut
from tools.documents.citations import Citations
from tools.documents.document import Document, DocumentError, Limits, Passage, Place, Watch
from tools.documents.reading import Reading, read_document

__all__ = [
    "Chunk",
    "Citations",
    "Document",
    "DocumentError",
    "Limits",
    "Passage",
    "Place",
    "Reading",
    "Watch",
    "cut",
    "read_document",
]
