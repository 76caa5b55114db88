"""Documents for tools: files of many kinds read into sentences with their places, and citations of these places."""

from tools.documents.attached import attached_documents, read_attached
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
    "attached_documents",
    "cut",
    "read_attached",
    "read_document",
]
