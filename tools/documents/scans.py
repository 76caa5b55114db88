"""Pages and pictures without text, read by text recognition, where that is installed."""

import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path

from tools.documents.document import Document, DocumentError, Passage, Place, Watch

HOW_TO_INSTALL = "Install text recognition with ./scripts/install --ocr and start the server again"
_LOOK_SECONDS = 0.25
_PAGE_SECONDS = 120.0
"""For one page, and for loading the models before the first one."""
_RECOGNISER = Path(__file__).with_name("recogniser.py")


def can_recognise() -> bool:
    return importlib.util.find_spec("rapidocr") is not None


def recognise(path: Path, name: str, pages: Sequence[int], watch: Watch) -> dict[int, list[str]]:
    """Returns the lines of text by page. Pages are counted from 1; without any, the file is a picture.

    Tells of each page. Raises DocumentError when the call was stopped or recognition failed.
    """
    found: dict[int, list[str]] = {}
    count = max(1, len(pages))
    # -P: otherwise the modules beside the program would hide those of the standard library.
    command = [sys.executable, "-P", str(_RECOGNISER), str(path), *map(str, pages)]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process,
        _watched(process, watch, found),
    ):
        assert process.stdout is not None
        for line in filter(_is_told, process.stdout):
            read = json.loads(line)
            found[read["page"]] = read["lines"]
            watch.page(len(found), count)
    watch.check(name)
    if len(found) < count:
        raise DocumentError(f"{name!r} could not be read by text recognition: it is damaged, or took too long.")
    return found


@contextmanager
def _watched(process: subprocess.Popen[str], watch: Watch, found: Sized) -> Iterator[None]:
    """Kills the process when the call is stopped, and when a page takes too long."""
    over = threading.Event()

    def look() -> None:
        pages, since = 0, time.monotonic()
        while not over.wait(_LOOK_SECONDS):
            if len(found) > pages:
                pages, since = len(found), time.monotonic()
            if watch.stopped() or time.monotonic() - since > _PAGE_SECONDS:
                process.kill()
                return

    watcher = threading.Thread(target=look, name="text recognition", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _is_told(line: str) -> bool:
    """Ignores other lines, which libraries print."""
    return line.startswith('{"page"')


def read_picture(path: Path, name: str, watch: Watch) -> Document:
    """Raises DocumentError when there is no text recognition, or nothing to recognise."""
    if not can_recognise():
        raise DocumentError(f"{name!r} is a picture. {HOW_TO_INSTALL}.")
    place = Place(kind="page", number=1)
    lines = recognise(path, name, (), watch)[1]
    if not lines:
        raise DocumentError(f"There is no text to be seen in {name!r}.")
    return Document(
        name=name,
        kind="picture",
        passages=(Passage(place=place, text=" ".join(lines)),),
        places=(place,),
        pages=1,
        remarks=(f"{name} was read by text recognition, which can make mistakes.",),
    )
