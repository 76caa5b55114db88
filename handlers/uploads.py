"""Replaces Chainlit's routes for uploads and downloads: streams to the file store and checks the owner.

A file is stored at upload, so a message that names it works even after a restart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from chainlit.session import WebsocketSession
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

import audit
from handlers.login import browser_user
from jobs import StorageFull
from services.lifecycle import Lifecycle
from services.web import (
    FileStore,
    FileTooLarge,
    NoSpace,
    StoredFile,
    StoredFileNotFound,
    Uploads,
    WebServices,
    full_disk_told,
)

CHUNK_BYTES = 1 << 20
PDF = "application/pdf"
UPLOADS = "/project/file"


def upload_routes(lifecycle: Lifecycle) -> list[Route]:
    def files() -> FileStore:
        return lifecycle.get(WebServices).files

    async def upload(request: Request) -> JSONResponse:
        user = await signed_in(request)
        session = _own_session(request.query_params.get("session_id", ""), user)
        try:
            stored = await _stored(request, lifecycle.get(WebServices).uploads, owner=user)
        except (FileTooLarge, StorageFull) as error:
            raise HTTPException(413, str(error)) from None
        except NoSpace as error:
            raise HTTPException(507, str(error)) from None
        remember(session, stored, files())
        return JSONResponse({"id": stored.id})

    async def download(request: Request) -> FileResponse:
        user = await signed_in(request)
        try:
            stored = await files().get(request.path_params["file_id"], user)
        except StoredFileNotFound as error:
            raise HTTPException(404, str(error)) from None
        audit.record("file downloaded", file=stored.id)
        # Scripts in uploaded files must not run in our origin, and a file must ask no other site for anything.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        if stored.mime == PDF:  # browsers open it in a viewer with a separate origin, but not in a sandbox
            headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        picture = stored.mime.startswith("image/") and not stored.mime.startswith("image/svg")
        inline = picture or stored.mime == PDF
        return FileResponse(
            files().path(stored.id),
            media_type=stored.mime,
            filename=stored.name,
            content_disposition_type="inline" if inline else "attachment",
            headers=headers,
        )

    return [
        Route(UPLOADS, upload, methods=["POST"]),
        Route(f"{UPLOADS}/{{file_id:path}}", download, methods=["GET"]),
    ]


def remember(session: WebsocketSession, stored: StoredFile, files: FileStore) -> None:
    """Lets Chainlit find the file by its id when a message names it."""
    session.files[stored.id] = {
        "id": stored.id,
        "path": files.path(stored.id),
        "name": stored.name,
        "type": stored.mime,
        "size": stored.size,
    }


async def _stored(request: Request, uploads: Uploads, *, owner: str) -> StoredFile:
    """Raises `FileTooLarge`, `StorageFull`, `NoSpace`."""
    with full_disk_told():  # of the form's temporary file, too
        async with request.form(max_files=1, max_fields=1) as form:
            part = form.get("file")
            if not isinstance(part, UploadFile):
                raise HTTPException(422, "Send one file, as the form field `file`.")
            return await uploads.save(
                name=part.filename or "file",
                mime=part.content_type or "application/octet-stream",
                owner=owner,
                source=_chunks(part),
            )


async def signed_in(request: Request) -> str:
    """Returns the request's user. Raises `HTTPException` 401 without a login."""
    user = await browser_user(request)
    if user is None:
        raise HTTPException(401, "Log in to see files.")
    return user


def _own_session(session_id: str, user: str) -> WebsocketSession:
    session = WebsocketSession.get_by_id(session_id)
    if session is None or session.user is None or session.user.identifier != user:
        raise HTTPException(404, "There is no such session; reload the page.")
    return session


async def _chunks(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(CHUNK_BYTES):
        yield chunk
