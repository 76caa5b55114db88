"""Transfers of files to and from the server, with a bar for large ones."""

import contextlib
import mimetypes
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO
from urllib.parse import quote

from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from scripts.terminal.console import Console, tell
from scripts.terminal.server import Refused, Server
from scripts.terminal.words import one_line

LARGE_BYTES = 2_000_000


def bar(total: int, err: TextIO) -> Progress:
    """Returns progress over that many bytes. It shows only on a terminal, and only for a large file."""
    console = Console(err)
    columns = BarColumn(), TaskProgressColumn(), DownloadColumn(), TimeRemainingColumn()
    return Progress(
        TextColumn("{task.description}", markup=False),  # the names of files come from elsewhere
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=total < LARGE_BYTES or not console.is_interactive,
    )


def upload(server: Server, path: Path) -> str:
    """Uploads a file. Returns its id. Raises `Refused`."""
    mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    with (
        usable(path),
        bar(path.stat().st_size, sys.stderr) as progress,
        progress.open(path, "rb", description=one_line(path.name)) as file,
    ):
        stored = server.call("POST", "/api/files", files={"file": (path.name, file, mime)})
    tell(f"Uploaded {stored['name']} ({decimal(stored['size'])}).")
    return str(stored["id"])


def download(server: Server, job_id: str, name: str, target: BinaryIO) -> None:
    """Writes a job's file to the target. Raises `Refused`."""
    sizes = {one["name"]: one["size"] for one in server.job(job_id)["artifacts"]}
    if name not in sizes:
        raise Refused(f"The job has no file {name!r}: ./scripts/jobs get {job_id} lists its files.")
    address = f"/api/jobs/{job_id}/artifacts/{quote(name, safe='')}"
    with server.stream(address) as response, bar(sizes[name], sys.stderr) as progress:
        task = progress.add_task(one_line(name), total=sizes[name])
        for piece in response.iter_bytes():
            target.write(piece)
            progress.advance(task, len(piece))


@contextlib.contextmanager
def usable(path: Path) -> Iterator[None]:
    """Raises `Refused` when the file cannot be used."""
    try:
        yield
    except OSError as error:
        raise Refused(f"{str(path)!r}: {error.strerror or 'it cannot be used'}.") from None


@contextlib.contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Opens a file that appears when it is complete, and replaces another only with `force`. Raises `Refused`."""
    if path.exists() and not force:
        raise Refused(f"{str(path)!r} exists already: choose another name with -o, or pass --force.")
    partial = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    with usable(path):
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
