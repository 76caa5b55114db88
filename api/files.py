"""Uploads over HTTP, streamed into the file store as they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException

from api.access import Caller, Services
from api.descriptions import errors
from api.errors import ApiError
from api.strict import MULTIPART, content_type
from jobs.models import Upload
from services.web import StoredFile, WebServices, full_disk_told

router = APIRouter(prefix="/api/files", tags=["files"])

UPLOADS = "/api/files"
ID = r"^file_[0-9a-f]{24}$"
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


class ListedFile(FileView):
    created_at: float = Field(description="Unix seconds.")
    used_by: int = Field(description="The number of jobs that use it; a job and its retries count once.")


class FileList(BaseModel):
    data: list[ListedFile]
    has_more: bool


@router.post(
    "",
    status_code=201,
    response_model=FileView,
    openapi_extra=FORM,
    responses=errors(400, 401, 413, 415, 422, 429, 503, 507),
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


@router.get("", response_model=FileList, responses=errors(401, 422, 429, 503), summary="List your files")
async def find(
    user: Caller,
    services: Services,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[str | None, Query(pattern=ID, description="A file's id: list only older files.")] = None,
) -> dict[str, Any]:
    """List the caller's uploads, newest first. An upload that no job has used is deleted after a day."""
    found = await services.uploads.find(user, limit=limit + 1, before=before)
    return {"data": [_listed(upload) for upload in found[:limit]], "has_more": len(found) > limit}


@router.delete("/{file_id}", status_code=204, responses=errors(401, 404, 409, 422, 429, 503), summary="Delete a file")
async def delete(file_id: Annotated[str, Path(max_length=200)], user: Caller, services: Services) -> Response:
    """Delete an upload, unless a job that has not ended uses it. Answers made from it stay."""
    await services.uploads.delete(file_id, user)
    return Response(status_code=204)


def _listed(upload: Upload) -> dict[str, Any]:
    return {name: getattr(upload, name) for name in ListedFile.model_fields}


@asynccontextmanager
async def open_form(request: Request, *, max_files: int, max_fields: int = 1) -> AsyncIterator[FormData]:
    """Keeps the form's parts on disk until it closes.

    Raises `ApiError` 415 for another type, 400 for a broken form; `NoSpace`.
    """
    if content_type(request) != MULTIPART:
        raise ApiError(415, "unsupported_media_type", "Send a form: Content-Type: multipart/form-data.")
    try:
        with full_disk_told():
            form = await request.form(max_files=max_files, max_fields=max_fields)
    except (MultiPartException, ValueError, KeyError):  # all that the parser raises for a broken form
        raise ApiError(400, "bad_request", "The form could not be read.") from None
    try:
        yield form
    finally:
        await form.close()


async def save(services: WebServices, part: Any, owner: str) -> StoredFile:
    """Raises `FileTooLarge`, `StorageFull`, `NoSpace`."""
    return await services.uploads.save(
        name=part.filename or "file",
        mime=part.content_type or "application/octet-stream",
        owner=owner,
        source=_chunks(part),
    )


async def _chunks(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(CHUNK_BYTES):
        yield chunk
