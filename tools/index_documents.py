"""The tool that adds documents to the conversation's index for search_documents."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from toolkit import NotFinished, ToolContext, ToolError, UploadedFile, tool
from tools.documents import Document, DocumentError, Limits, Reading, Watch, read_document
from tools.documents.reading import READABLE, unique_names
from tools.search import IndexStore, Source, cut_passages, index_of
from tools.tables.writing import write_csv

LIMITS = Limits(files=100)
_MAX_REMARKS = 20
COLUMNS = ("name", "kind", "pages", "passages", "problem")

Outcome = dict[str, Any]
"""The outcome for one document: its name, and either facts about the indexed source or `problem`."""


def save_indexed(ctx: ToolContext, documents: list[UploadedFile] | None) -> None:
    """Save the list of the documents that are indexed when the call is stopped."""
    outcomes: dict[str, Outcome] = {}  # by content: a copy has no step
    with suppress(NotFinished):  # documents are read one by one: none behind this one is finished
        for file, name in _named(_chosen(ctx, documents)):
            if (key := _key(file)) not in outcomes:
                outcomes[key] = ctx.step(_step_name(name, key), _not_now)
    done = sum("problem" not in outcome for outcome in outcomes.values())
    if done:
        ctx.log("info", f"{_count(done, 'document')} can be searched, listed in {_save_report(ctx, outcomes.values())}")


def _not_now() -> Outcome:
    raise AssertionError("a stopped call begins no step")


@tool(partial=save_indexed)
def index_documents(ctx: ToolContext, documents: list[UploadedFile] | None = None) -> dict[str, Any]:
    """Make PDF, Word, HTML, Markdown and text files searchable, page by page, for search_documents.

    Args:
        documents: The files to index; by default every file of this conversation.
    """
    files = _chosen(ctx, documents)
    call = _Indexing(ctx, index_of(ctx), len(files))
    outcomes = [call.one(number, file, name) for number, (file, name) in enumerate(_named(files))]
    ctx.report_progress(len(files), len(files), "Indexed")
    if len(outcomes) > 1:
        _save_report(ctx, outcomes)
    return _result(outcomes, len(index_of(ctx).sources()))


def _chosen(ctx: ToolContext, documents: list[UploadedFile] | None) -> list[UploadedFile]:
    """Returns the files to index, each once. Raises ToolError when there are none or too many."""
    files = ctx.files if documents is None else documents
    if not files:
        raise ToolError(f"There is no document to index. Attach one first: {READABLE} can be read.")
    if len(files) > LIMITS.files:
        raise ToolError(f"{len(files)} documents are too many for one call; send at most {LIMITS.files}.")
    return list({file.id: file for file in files}.values())


def _named(files: list[UploadedFile]) -> Iterable[tuple[UploadedFile, str]]:
    return zip(files, unique_names(file.name for file in files), strict=True)


class _Indexing:
    """One call. Each document is a step."""

    def __init__(self, ctx: ToolContext, index: IndexStore, total: int) -> None:
        self._ctx = ctx
        self._index = index
        self._total = total
        self._keys: dict[str, str] = {}  # from a content's key to the name of the first file with it

    def one(self, number: int, file: UploadedFile, name: str) -> Outcome:
        self._ctx.report_progress(number, self._total, f"Reading {name}")
        key = _key(file)
        if key in self._keys:
            return {"name": name, "problem": f"{name!r} has the same content as {self._keys[key]!r}."}
        self._keys[key] = name
        outcome = self._ctx.step(_step_name(name, key), lambda: self._indexed(number, file, name, key))
        for remark in [*outcome.get("remarks", ()), *filter(None, [outcome.get("problem")])]:
            self._ctx.log("warning", remark)
        return outcome

    def _indexed(self, number: int, file: UploadedFile, name: str, key: str) -> Outcome:
        known = self._index.source(key)
        if known is not None:
            return _outcome(known)
        try:
            document = self._read(number, file, name)
        except DocumentError as error:
            return {"name": name, "problem": str(error)}
        source = Source(key=key, name=name, kind=document.kind, pages=document.pages, remarks=document.remarks)
        return _outcome(self._index.replace(source, cut_passages(document)))

    def _read(self, number: int, file: UploadedFile, name: str) -> Document:
        def told(done: int, total: int) -> None:
            message = f"Reading {name}: page {done} of {total}"
            self._ctx.report_progress(number + 0.9 * done / total, self._total, message)

        watch = Watch(limits=LIMITS, stopped=lambda: self._ctx.cancelled, page=told)
        return read_document(Reading(path=file.path, name=name, mime=file.mime), watch)


def _key(file: UploadedFile) -> str:
    """Returns a key of the content, so that the same file sent again is the same source."""
    with file.path.open("rb") as content:
        return f"file:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def _step_name(name: str, key: str) -> str:
    """Includes a hash of the content: a retry may bring another file with the same name."""
    return f"index {name} ({key[-8:]})"


def _outcome(source: Source) -> Outcome:
    return {
        "name": source.name,
        "kind": source.kind,
        "pages": source.pages,
        "passages": source.passages,
        "remarks": list(source.remarks),
    }


def _save_report(ctx: ToolContext, outcomes: Iterable[Outcome]) -> str:
    """Returns the artifact's name."""
    path = ctx.scratch / "index-report.csv"
    write_csv(path, COLUMNS, ([outcome.get(column) for column in COLUMNS] for outcome in outcomes))
    ctx.save_artifact(path.name, path, "text/csv")
    return path.name


def _result(outcomes: list[Outcome], in_index: int) -> dict[str, Any]:
    """Returns the tool's value. Raises ToolError when no document was indexed."""
    done = [outcome for outcome in outcomes if "problem" not in outcome]
    problems = [outcome["problem"] for outcome in outcomes if "problem" in outcome]
    if not done:
        raise ToolError(problems[0] if len(problems) == 1 else f"No document could be indexed. {' '.join(problems)}")
    remarks = [remark for outcome in done for remark in outcome.pop("remarks")]
    passages = sum(outcome["passages"] for outcome in done)
    pages = sum(outcome["pages"] or 0 for outcome in done)
    return {
        "summary": _summary(done, pages, passages, [*problems, *remarks]),
        "documents": done,
        "pages": pages,
        "passages": passages,
        "skipped": problems,
        "remarks": remarks[:_MAX_REMARKS],
        "documents_in_index": in_index,
    }


def _summary(done: list[Outcome], pages: int, passages: int, notes: list[str]) -> str:
    names = ", ".join(outcome["name"] for outcome in done[:5])
    more = f" and {len(done) - 5} more" if len(done) > 5 else ""
    counted = ([_count(pages, "page")] if pages else []) + [_count(passages, "passage")]
    lines = [f"Indexed {names}{more}: {', '.join(counted)}. Ask about them, or use search_documents."]
    lines += [f"- {note}" for note in notes[:_MAX_REMARKS]]
    return "\n".join(lines) if len(lines) == 1 else "\n".join([lines[0], "", *lines[1:]])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
