"""Uploads over HTTP, streamed into the file store as they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException

from api.access import Caller, Services
from api.descriptions import errors
from api.errors import ApiError
from api.strict import MULTIPART, content_type
from services.web import StoredFile, WebServices

router = APIRouter(prefix="/api/files", tags=["files"])

UPLOADS = "/api/files"
CHUNK_BYTES = 1 << 20
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


class FileView(BaseModel):
    id: str = Field(examples=["file_5f0c3a9be1d24c77a0b1c2d3"])
    name: str
    mime: str
    size: int = Field(description="Bytes.")


@router.post(
    "",
    status_code=201,
    response_model=FileView,
    openapi_extra=FORM,
    responses=errors(400, 401, 413, 415, 422, 429, 503),
    summary="Upload a file",
)
async def upload(request: Request, user: Caller, services: Services) -> JSONResponse:
    """Store one file. Pass its id in a job's `files` or in a tool's arguments."""
    async with open_form(request, max_files=1) as form:
        part = form.get("file")
        if not hasattr(part, "read"):
            raise ApiError(422, "invalid_request", "file: send one file, as the form field `file`.", param="file")
        stored = await save(services, part, user)
    return JSONResponse({"id": stored.id, "name": stored.name, "mime": stored.mime, "size": stored.size}, 201)


@asynccontextmanager
async def open_form(request: Request, *, max_files: int, max_fields: int = 1) -> AsyncIterator[FormData]:
    """Keeps the form's parts on disk until it closes. Raises `ApiError` 415 for another type, 400 for a broken form."""
    if content_type(request) != MULTIPART:
        raise ApiError(415, "unsupported_media_type", "Send a form: Content-Type: multipart/form-data.")
    try:
        form = await request.form(max_files=max_files, max_fields=max_fields)
    except (MultiPartException, ValueError, KeyError):  # all that the parser raises for a broken form
        raise ApiError(400, "bad_request", "The form could not be read.") from None
    try:
        yield form
    finally:
        await form.close()


async def save(services: WebServices, part: Any, owner: str) -> StoredFile:
    """Raises `FileTooLarge`."""
    return await services.files.save(
        name=part.filename or "file",
        mime=part.content_type or "application/octet-stream",
        owner=owner,
        source=_chunks(part),
        limit_bytes=services.settings.max_upload_bytes,
    )


async def _chunks(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(CHUNK_BYTES):
        yield chunk
