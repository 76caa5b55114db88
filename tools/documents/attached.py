"""Reads the files of a tool call, with its progress and its sources."""

import asyncio
import threading
from collections.abc import Sequence

from toolkit import AsyncToolContext, ToolError, UploadedFile
from tools.documents.document import Document, Limits, Watch
from tools.documents.reading import READABLE, Reading, check_together, read_document, unique_names
from tools.tables.kinds import looks_like_table

LIMITS = Limits()


def attached_documents(ctx: AsyncToolContext) -> list[UploadedFile]:
    """Returns every file of the conversation except tables."""
    return [file for file in ctx.files if not looks_like_table(file.name)]


async def read_attached(ctx: AsyncToolContext, files: Sequence[UploadedFile]) -> list[Document]:
    """Returns the files as documents with unique names.

    Raises ToolError, with a sentence for the user, if there are none or too many, or if one cannot be read.
    """
    if not files:
        raise ToolError(f"There is no document to read. Attach one first: {READABLE} can be read.")
    if len(files) > LIMITS.files:
        raise ToolError(f"{len(files)} documents are too many for one call; send at most {LIMITS.files}.")
    documents = []
    for file, name in zip(files, unique_names(file.name for file in files), strict=True):
        documents.append(await _read(ctx, Reading(path=file.path, name=name, mime=file.mime)))
        ctx.source(name, file=file)
        check_together(documents, LIMITS)
    for remark in (remark for document in documents for remark in document.remarks):
        ctx.log("warning", remark)
    return documents


async def _read(ctx: AsyncToolContext, reading: Reading) -> Document:
    stop = threading.Event()

    def told(done: int, total: int) -> None:
        ctx.report_progress(done, total, f"Reading {reading.name}: page {done} of {total}")

    ctx.report_progress(0, None, f"Reading {reading.name}")
    try:
        return await asyncio.to_thread(read_document, reading, Watch(limits=LIMITS, stopped=stop.is_set, page=told))
    finally:
        stop.set()  # a cancelled call must stop its thread
