"""Downloads of the files that tools made. The page also fetches charts and tables here."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

import audit
from handlers.card import ARTIFACTS
from handlers.tables import MAX_BYTES, drawable
from handlers.uploads import signed_in
from handlers.words import without_surrogates
from jobs import JobNotFound
from services.lifecycle import Lifecycle
from services.web import StoredFileNotFound, WebServices
from toolkit.artifacts import PLOTLY_MIME, TABLE_MIME, mime_of

NOT_FOUND = "There is no such file."


def artifact_routes(lifecycle: Lifecycle) -> list[Route]:
    async def download(request: Request) -> Response:
        services = lifecycle.get(WebServices)
        user, name = await signed_in(request), without_surrogates(request.path_params["name"])
        try:
            job = await services.jobs.get(without_surrogates(request.path_params["job_id"]), user)
            path = services.files.artifact_path(job.root_id, name)
        except (JobNotFound, StoredFileNotFound):
            raise HTTPException(404, NOT_FOUND) from None
        audit.record("artifact downloaded", job=job.id)
        mime = mime_of(path.name)
        # An artifact may contain content from untrusted documents, whose scripts must not run in our origin.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
        if mime == TABLE_MIME:
            table = await asyncio.to_thread(_table, path)
            return Response(table, media_type=mime, headers=headers | {"Content-Disposition": "attachment"})
        return FileResponse(
            path,
            # The page's chart element accepts only this type.
            media_type="application/json" if mime == PLOTLY_MIME else mime,
            filename=path.name,
            content_disposition_type="attachment",
            headers=headers,
        )

    return [Route(f"{ARTIFACTS}/{{job_id}}/{{name:path}}", download, methods=["GET"])]


def _table(path: Path) -> bytes:
    with path.open("rb") as file:
        return drawable(file.read(MAX_BYTES + 1))
