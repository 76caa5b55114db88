"""Files that a tool saves for the user: their names, their media types and their transfer to the worker."""

import mimetypes
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import ToolMisused

PLOTLY_MIME = "application/vnd.plotly.v1+json"
TABLE_MIME = "application/vnd.longhaul.table+json"

MAX_NAME = 200
DRAWN = {".plotly.json": PLOTLY_MIME, ".table.json": TABLE_MIME}


@contextmanager
def as_file(name: str, data: bytes | str | Path, scratch: Callable[[], Path]) -> Iterator[str]:
    """Yields the path of a file with the content, which exists until the worker has copied it."""
    if not name or len(name) > MAX_NAME or "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
        raise ToolMisused(f"the artifact's name is {name!r}: it must be a plain file name")
    if not isinstance(data, bytes | bytearray | memoryview):
        path = Path(data).absolute()
        if not _is_file(path):
            raise ToolMisused(f"the artifact {name!r}: pass its bytes, or the path of an existing file (encode text)")
        yield str(path)
        return
    with tempfile.NamedTemporaryFile(dir=scratch(), prefix=".artifact-") as file:
        file.write(data)
        file.flush()
        yield file.name


def mime_of(name: str) -> str:
    """Returns the media type by the name's ending. Charts and tables that the chat draws have special endings."""
    for ending, mime in DRAWN.items():
        if name.lower().endswith(ending):
            return mime
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that cannot be a path
        return False
