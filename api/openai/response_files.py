"""Uploaded files in the input of a response, whose content a direct model call reads."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.errors import ApiError
from api.openai.response_input import FILE
from services.web import WebServices

PLACES = {"image_url": "url", "file": "file_data"}
"""Types of parts that name a file → the field that holds its address."""


async def with_files(messages: Sequence[Mapping[str, Any]], services: WebServices, user: str) -> list[dict[str, Any]]:
    """Returns the messages with the content of the user's files as data URLs.

    Raises `StoredFileNotFound`, and `ApiError` 413 when the files are larger than a request may be.
    """
    room = services.settings.max_body_bytes
    told: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            parts = []
            for part in content:
                parts.append(await _with_file(part, services, user, room))
                room -= len(str(parts[-1]))
            content = parts
        told.append({**message, "content": content})
    return told


async def _with_file(part: Mapping[str, Any], services: WebServices, user: str, room: int) -> dict[str, Any]:
    place = PLACES.get(part["type"])
    if place is None or not str(part[part["type"]].get(place, "")).startswith(FILE):
        return dict(part)
    named = part[part["type"]]
    file = await services.files.get(named[place].removeprefix(FILE), user)
    if file.size * 4 / 3 > room:
        raise ApiError(413, "too_large", "The files of this request are larger than a request may be.", param="input")
    data = await asyncio.to_thread(Path(services.files.path(file.id)).read_bytes)
    url = f"data:{file.mime};base64,{base64.b64encode(data).decode()}"
    name = {"filename": file.name} if part["type"] == "file" else {}
    return {**part, part["type"]: {**named, place: url, **name}}
