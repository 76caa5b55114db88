"""Uploaded files in tools: in JSON a string, the file's id; in the function an object that can be opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from toolkit.schemas import FILE_ID, FILE_WORDS


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file, as the worker describes it to a host."""

    id: str
    name: str
    """The name that the user gave it."""
    mime: str
    size: int
    """Bytes."""
    path: str
    """Local path of the content."""


class UploadedFile:
    """A file that the user uploaded. As a parameter's type: the caller passes the id, the function receives this."""

    def __init__(self, file_id: str, info: FileInfo | None = None) -> None:
        self.id = file_id
        self._info = info

    def __repr__(self) -> str:
        return f"UploadedFile({self.id!r})"

    @property
    def name(self) -> str:
        """The name that the user gave it."""
        return self._found.name

    @property
    def mime(self) -> str:
        """The media type, such as `text/csv`."""
        return self._found.mime

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._found.size

    @property
    def path(self) -> Path:
        """The path of the content on this machine. Never write to it."""
        return Path(self._found.path)

    def open(self) -> BinaryIO:
        """Open the content for reading, as bytes."""
        return self.path.open("rb")

    def found(self, info: FileInfo) -> None:
        """Set the worker's description of the file. The host does this before it calls the function."""
        self._info = info

    @property
    def _found(self) -> FileInfo:
        if self._info is None:
            raise RuntimeError(f"the file {self.id!r} has no content: take files as parameters or from ctx.files")
        return self._info

    @classmethod
    def _named(cls, file_id: str, info: ValidationInfo) -> "UploadedFile":
        file = cls(file_id)
        if info.context is not None:
            info.context["files"].append(file)
        return file

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(min_length=1, max_length=200)
        return core_schema.with_info_after_validator_function(cls._named, text)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": FILE_ID, "description": FILE_WORDS}
