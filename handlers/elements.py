"""Chainlit elements made from the log: uploads, artifacts, and the forms of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handlers.card import DRAWN, JobCard, artifact_url
from handlers.changes import ElementDict
from handlers.forms import ToolForm
from jobs import JSON, Job
from jobs.events import Artifact
from services.web import StoredFile
from toolkit.artifacts import mime_of

FORM = "ToolForm"
"""`public/elements/ToolForm.jsx`."""
CARD = "JobCard"
"""`public/elements/JobCard.jsx`."""


def file_element(file: StoredFile, thread_id: str | None, message_id: str) -> ElementDict:
    """Returns an uploaded file as an element of its message."""
    kind = "image" if file.mime.startswith("image/") else "file"
    return {
        **_element(file.id, kind, file.name, thread_id, message_id),
        "mime": file.mime,
        "url": f"/project/file/{file.id}",
        "chainlitKey": file.id,
    }


def is_drawn(artifact: Artifact) -> bool:
    """Whether the page draws the artifact. The name decides, as it does when the file is served."""
    return mime_of(artifact.name) in DRAWN or artifact.mime.startswith("image/")


def artifact_element(artifact: Artifact, job: Job, message_id: str, *, version: int) -> ElementDict:
    """Returns an artifact that the page draws. Artifacts of one name share an element."""
    name = artifact.name
    kind = DRAWN.get(mime_of(name), "image")
    return {
        **_element(f"{job.root_id}:artifact:{name}", kind, name, job.thread_id, message_id),
        "mime": artifact.mime,
        "url": artifact_url(job, name, version=version),
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
    """Returns a tool's form, open or as it was submitted."""
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


def card_element(card: JobCard, root_id: str, thread_id: str | None, message_id: str) -> ElementDict:
    """Returns the card as it is now. The page follows its changes by `longhaul` events."""
    return {**_element(f"{root_id}:card", "custom", CARD, thread_id, message_id), "props": card.snapshot()}


def _element(element_id: str, kind: str, name: str, thread_id: str | None, message_id: str) -> dict[str, Any]:
    return {
        "id": element_id,
        "threadId": thread_id,
        "type": kind,
        "name": name,
        "display": "inline",
        "forId": message_id,
    }
