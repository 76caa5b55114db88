"""Files on their way to the server and back, with a bar for the large ones."""

from __future__ import annotations

import contextlib
import io
import mimetypes
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO
from urllib.parse import quote

from scripts.terminal.screen import Lines
from scripts.terminal.server import Refused, Server
from scripts.terminal.words import bar, duration, one_line, size

LARGE_BYTES = 2_000_000
DRAW_SECONDS = 0.1


class Meter:
    """The bar of one file."""

    def __init__(self, name: str, total: int, err: TextIO) -> None:
        self._name, self._total = name, total
        self._lines = Lines(err)
        self._begin = self._drawn = time.monotonic()
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._total >= LARGE_BYTES and self._lines.possible and now - self._drawn >= DRAW_SECONDS:
            self._drawn = now
            left = (now - self._begin) * (self._total / self._done - 1)
            share = self._done / self._total
            line = f"{one_line(self._name)}  {bar(share)} {share:4.0%} of {size(self._total)}  {duration(left)} left"
            self._lines.draw([line])

    def close(self) -> None:
        self._lines.clear()


class Counted(io.FileIO):
    """A file that tells how much of it was read."""

    def __init__(self, path: Path, count: Callable[[int], None]) -> None:
        super().__init__(path)
        self._count = count

    def read(self, amount: int | None = -1, /) -> bytes:
        piece = super().read(-1 if amount is None else amount)
        self._count(len(piece))
        return piece


def upload(server: Server, path: Path, err: TextIO) -> str:
    """The id of the stored file. Raises `Refused`."""
    with readable(path):
        meter = Meter(path.name, path.stat().st_size, err)
        mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with contextlib.closing(meter), Counted(path, meter.add) as file:
            stored = server.call("POST", "/api/files", files={"file": (path.name, file, mime)})
    err.write(f"Uploaded {stored['name']} ({size(stored['size'])}).\n")
    return str(stored["id"])


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{str(path)!r}: {error.strerror or 'it cannot be used'}.") from None


def download(server: Server, job_id: str, name: str, target: BinaryIO, err: TextIO) -> None:
    address = f"/api/jobs/{job_id}/artifacts/{quote(name, safe='')}"
    artifact = next((one for one in server.job(job_id)["artifacts"] if one["name"] == name), None)
    if artifact is None:
        raise Refused(f"The job has no file {name!r}: scripts/jobs get {job_id} tells what it has.")
    with contextlib.closing(Meter(name, artifact["size"], err)) as meter, server.stream(address) as pieces:
        for piece in pieces:
            target.write(piece)
            meter.add(len(piece))


@contextlib.contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Appears when it is whole; replaces another one only by `force`. Raises `Refused`."""
    if path.exists() and not force:
        raise Refused(f"{str(path)!r} is there already: give another name with -o, or --force.")
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    with readable(path):
        try:
            with draft.open("xb") as file:
                yield file
            if force:
                draft.replace(path)
            else:
                os.link(draft, path)  # unlike a rename it never replaces what came meanwhile
        finally:
            draft.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """The last part of an artifact's name, harmless in the current directory."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", last).lstrip(".-")[:200] or "artifact"
