"""Sends files to the server and fetches them, with a bar for large ones."""

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
    """The progress bar of one file."""

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
    """A file that reports how much of it was read."""

    def __init__(self, path: Path, count: Callable[[int], None]) -> None:
        super().__init__(path)
        self._count = count

    def read(self, amount: int | None = -1, /) -> bytes:
        piece = super().read(-1 if amount is None else amount)
        self._count(len(piece))
        return piece


def upload(server: Server, path: Path, err: TextIO) -> str:
    """Uploads a file. Returns its id. Raises `Refused`."""
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
        raise Refused(f"The job has no file {name!r}: scripts/jobs get {job_id} lists its files.")
    with contextlib.closing(Meter(name, artifact["size"], err)) as meter, server.stream(address) as pieces:
        for piece in pieces:
            target.write(piece)
            meter.add(len(piece))


@contextlib.contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Opens a file that appears when it is complete, and replaces another only with `force`. Raises `Refused`."""
    if path.exists() and not force:
        raise Refused(f"{str(path)!r} exists already: choose another name with -o, or pass --force.")
    partial = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    with readable(path):
        try:
            with partial.open("xb") as file:
                yield file
            if force:
                partial.replace(path)
            else:
                os.link(partial, path)  # unlike a rename, it never replaces a file that appeared meanwhile
        finally:
            partial.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """Returns the last part of an artifact's name, made safe for the current directory."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", last).lstrip(".-")[:200] or "artifact"
