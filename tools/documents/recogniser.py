"""Text recognition, as a separate program: `recogniser.py FILE [PAGE …]` writes a line of JSON for each page.

FILE is a PDF, of which the pages are counted from 1, or a picture. Each line is `{"page": …, "lines": […]}`; a page
that cannot be read has no lines. Recognition takes seconds of all cores for each page, so it is kept out of the host.
"""

import functools
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

SCALE = 2.0
"""Pixels for each point of a PDF's page, 144 for each inch: sharper pictures take longer and are read no better."""
MAX_PIXELS = 40_000_000
"""Of a page or picture; larger ones are not read."""
MIN_SCORE = 0.5
"""Of a line, between 0 and 1; below it, lines are guesses."""


def main(path: str, pages: list[int]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for number, picture in _pictures(path, pages):
        try:
            lines = _lines(_engine()(picture)) if picture is not None else []
        except Exception:  # noqa: BLE001 - the library refuses some shapes, each in its own way
            lines = []
        print(json.dumps({"page": number, "lines": lines}), flush=True)  # noqa: T201 - read by the parent process


@functools.cache
def _engine() -> Any:
    """Loads its models, which takes seconds: not for a file that turns out to be broken."""
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "error"})


def _end_with_parent() -> None:
    sys.stdin.read()  # until the parent closes it, or dies
    os._exit(1)


def _pictures(path: str, pages: list[int]) -> Iterator[tuple[int, Any]]:
    """Yields the number of each page and its pixels; None if it is too large or broken."""
    if not pages:
        yield 1, _picture(path)
        return
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    for number in pages:
        try:
            yield number, _page(document[number - 1])
        except pypdfium2.PdfiumError:
            yield number, None


def _picture(path: str) -> Any:
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        if image.width * image.height > MAX_PIXELS:
            return None
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _page(page: Any) -> Any:
    width, height = page.get_size()
    return page.render(scale=SCALE).to_numpy() if width * height * SCALE**2 <= MAX_PIXELS else None


def _lines(read: Any) -> list[str]:
    """Returns the lines of text, from top to bottom."""
    if not read.txts:
        return []
    return [text for text, score in zip(read.txts, read.scores, strict=True) if score >= MIN_SCORE]


if __name__ == "__main__":
    main(sys.argv[1], [int(number) for number in sys.argv[2:]])
