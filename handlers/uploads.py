"""Uploads and downloads, in place of Chainlit's own routes: streamed to the file store, checked for their owner.

A file is in the store from the moment it is uploaded, so a message that names it works after a restart too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from chainlit.auth import get_current_user
from chainlit.session import WebsocketSession
from fastapi import APIRouter, Depends, File, HTTPException, UploadFile
from fastapi.responses import FileResponse

from files import FileStore, FileTooLarge, StoredFile, StoredFileNotFound

CHUNK_BYTES = 1 << 20

CurrentUser = Annotated[Any, Depends(get_current_user)]


def upload_routes(files: Callable[[], FileStore], *, limit_bytes: int) -> APIRouter:
    """`files` gives the store once it is open."""
    router = APIRouter()

    @router.post("/project/file")
    async def upload(user: CurrentUser, session_id: str, file: Annotated[UploadFile, File()]) -> dict[str, str]:
        session = _own_session(session_id, user)
        try:
            stored = await files().save(
                name=file.filename or "file",
                mime=file.content_type or "application/octet-stream",
                owner=user.identifier,
                source=_chunks(file),
                limit_bytes=limit_bytes,
            )
        except FileTooLarge as error:
            raise HTTPException(413, str(error)) from None
        remember(session, stored, files())
        return {"id": stored.id}

    @router.get("/project/file/{file_id:path}")
    async def download(user: CurrentUser, file_id: str) -> FileResponse:
        if user is None:
            raise HTTPException(401, "Log in to see files.")
        try:
            stored = await files().get(file_id, user.identifier)
        except StoredFileNotFound as error:
            raise HTTPException(404, str(error)) from None
        # What people upload is shown, never run: no script of it may act in our origin.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
        inline = stored.mime.startswith("image/") and stored.mime != "image/svg+xml"
        return FileResponse(
            files().path(file_id),
            media_type=stored.mime,
            filename=stored.name,
            content_disposition_type="inline" if inline else "attachment",
            headers=headers,
        )

    return router


def remember(session: WebsocketSession, stored: StoredFile, files: FileStore) -> None:
    """Let Chainlit find the file under its id when a message names it."""
    session.files[stored.id] = {
        "id": stored.id,
        "path": files.path(stored.id),
        "name": stored.name,
        "type": stored.mime,
        "size": stored.size,
    }


def _own_session(session_id: str, user: Any) -> WebsocketSession:
    session = WebsocketSession.get_by_id(session_id)
    if session is None or user is None or session.user is None or session.user.identifier != user.identifier:
        raise HTTPException(404, "There is no such session; reload the page.")
    return session


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk
