"""Pages and pictures without text, read by text recognition, where that is installed."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.documents.document import Document, DocumentError, Passage, Place, Watch

HOW_TO_INSTALL = "Install text recognition with ./scripts/install --ocr and start the server again"
_RECOGNISER = Path(__file__).with_name("recogniser.py")


def can_recognise() -> bool:
    return importlib.util.find_spec("rapidocr") is not None


def recognise(path: Path, name: str, pages: Sequence[int], watch: Watch) -> dict[int, list[str]]:
    """Returns the lines of text by page. Pages are counted from 1; without any, the file is a picture.

    Tells of each page. Raises DocumentError when the call was stopped or recognition failed.
    """
    found: dict[int, list[str]] = {}
    command = [sys.executable, str(_RECOGNISER), str(path), *map(str, pages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            for line in filter(_is_told, process.stdout):
                read = json.loads(line)
                found[read["page"]] = read["lines"]
                watch.check(name)
                watch.page(len(found), max(1, len(pages)))
        finally:
            if len(found) < max(1, len(pages)):
                process.kill()
    if len(found) < max(1, len(pages)):
        raise DocumentError(f"{name!r} cannot be read: it is damaged, or not a picture.")
    return found


def _is_told(line: str) -> bool:
    """Libraries print lines of their own."""
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
        remarks=(f"{name} was read by text recognition, which makes mistakes.",),
    )
