"""Chainlit elements, made from the log: uploaded files, what tools made, and the forms of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from handlers.changes import ElementDict
from handlers.forms import ToolForm
from jobs import JSON, Job
from jobs.events import Artifact
from services.web import StoredFile
from toolkit.artifacts import PLOTLY_MIME, TABLE_MIME, mime_of

FORM = "ToolForm"
"""`public/elements/ToolForm.jsx`."""
ARTIFACTS = "/project/artifact"


def file_element(file: StoredFile, thread_id: str | None, message_id: str) -> ElementDict:
    """An uploaded file as an element of its message."""
    kind = "image" if file.mime.startswith("image/") else "file"
    return {
        **_element(file.id, kind, file.name, thread_id, message_id),
        "mime": file.mime,
        "url": f"/project/file/{file.id}",
        "chainlitKey": file.id,
    }


def artifact_element(artifact: Artifact, job: Job, message_id: str, *, version: int) -> ElementDict:
    """What a tool made, drawn where the page can draw it. The same name is the same element."""
    name, mime = artifact.name, artifact.mime
    # Drawn by its name, as it is served: what a tool declares may be something else.
    drawn = {PLOTLY_MIME: "plotly", TABLE_MIME: "dataframe"}.get(mime_of(name))
    kind = drawn or ("image" if mime.startswith("image/") else "file")
    return {
        **_element(f"{job.root_id}:artifact:{name}", kind, name, job.thread_id, message_id),
        "mime": mime,
        # The page keeps what it has fetched of an address: a file that was replaced needs another one.
        "url": f"{ARTIFACTS}/{job.id}/{quote(name, safe='')}?version={version}",
    }


def form_element(
    form: ToolForm,
    job: Job,
    message_id: str,
    *,
    is_open: bool,
    problems: Mapping[str, str],
    files: Sequence[StoredFile],
) -> ElementDict:
    """A tool's form: open, or as it was submitted."""
    props: dict[str, JSON] = {
        "job_id": job.id,
        "tool": form.name,
        "headline": form.headline,
        "fields": form.props(job.request.arguments),
        "files": [{"id": file.id, "name": file.name, "size": file.size} for file in files],
        "open": is_open,
        "problems": dict(problems),
    }
    return {**_element(f"{job.root_id}:form", "custom", FORM, job.thread_id, message_id), "props": props}


def _element(element_id: str, kind: str, name: str, thread_id: str | None, message_id: str) -> dict[str, Any]:
    return {
        "id": element_id,
        "threadId": thread_id,
        "type": kind,
        "name": name,
        "display": "inline",
        "forId": message_id,
    }
