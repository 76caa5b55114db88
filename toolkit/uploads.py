"""Uploaded files as tools see them: a string (the file's id) in JSON, an object that can be opened in the function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from toolkit.schemas import FILE_ID, FILE_WORDS


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """What the worker tells a host about a file."""

    id: str
    name: str
    """As the user called it."""
    mime: str
    size: int
    """Bytes."""
    path: str
    """Local path of the content."""


class UploadedFile:
    """A file the user uploaded. Use it as a parameter's type: the caller passes the id, the function gets this."""

    def __init__(self, file_id: str, info: FileInfo | None = None) -> None:
        self.id = file_id
        self._info = info

    def __repr__(self) -> str:
        return f"UploadedFile({self.id!r})"

    @property
    def name(self) -> str:
        """The name as the user knows it."""
        return self._found.name

    @property
    def mime(self) -> str:
        """The media type, such as `text/csv`."""
        return self._found.mime

    @property
    def size(self) -> int:
        """Bytes."""
        return self._found.size

    @property
    def path(self) -> Path:
        """The content on this machine; read it, never write to it."""
        return Path(self._found.path)

    def open(self) -> BinaryIO:
        """The content for reading, as bytes."""
        return self.path.open("rb")

    def found(self, info: FileInfo) -> None:
        """Fills in what the worker answered; the host does this before the function is called."""
        self._info = info

    @property
    def _found(self) -> FileInfo:
        if self._info is None:
            raise RuntimeError(f"the file {self.id!r} was made by hand: take it as a parameter or from ctx.files")
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
