"""The index in the conversation's records, which all machines share."""

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from toolkit import Records
from tools.search.index import Hit, IndexUnusable, Passage, Source
from tools.search.sqlite import SqliteIndex, storable

_PREFIX = "index/"
_MAX_CHARACTERS = 200_000
"""Of the passages in one record, so that it stays below the limit of 1 MB in any script."""
_MAX_TRIES = 3
"""A source may be replaced while it is read."""
_ABANDONED_SECONDS = 3600
_MACHINE_SECONDS = 7 * 86_400


class RecordedIndex:
    """An IndexStore. A source is a record that names the records of its passages.

    Each machine answers searches from an index of its own, `folder/index-….db`, which it makes of the records and
    brings up to date before each use. If that file is lost or damaged, it is made again.
    """

    def __init__(self, records: Records, folder: Path) -> None:
        self._records = records
        self._path = folder / f"index-{_digest(os.uname().nodename)[:8]}.db"
        self._earlier = folder / "index.db"
        self._taken = folder / "index.taken.db"
        self._local = SqliteIndex(self._path)

    def replace(self, source: Source, passages: Iterable[Passage]) -> Source:
        self._update()
        cut = [Passage(place=passage.place, text=storable(passage.text)) for passage in passages]
        named = replace(source, name=self._local.free_name(source), passages=len(cut))
        return self._local.replace(named, cut, version=self._keep(named, cut))

    def remove(self, key: str) -> bool:
        self._update()
        if self._local.source(key) is None:
            return False
        kept = self._records.get(_record(key))
        self._records.delete(_record(key))
        self._forget_parts(kept)
        return self._local.remove(key)

    def source(self, key: str) -> Source | None:
        self._update()
        return self._local.source(key)

    def sources(self) -> list[Source]:
        self._update()
        return self._local.sources()

    def search(self, query: str, limit: int) -> list[Hit]:
        self._update()
        return self._local.search(query, limit)

    # -- records

    def _keep(self, source: Source, cut: list[Passage]) -> str:
        """Returns the version. The source's record is written last, so it is whole, or as it was.

        Each call names its parts anew, so that calls that replace the same source leave each other's alone. A call
        whose clock runs far ahead takes them for abandoned all the same, so the parts are looked for at the end.
        """
        record = _record(source.key)
        for _ in range(_MAX_TRIES):
            version, parts = self._put(record, source, cut)
            if self._records.versions(f"{record}/").keys() >= set(parts) or not self._names(record, parts):
                break
        self._forget_abandoned(record, parts)
        return version

    def _put(self, record: str, source: Source, cut: list[Passage]) -> tuple[str, list[str]]:
        """Returns the version and the names of the parts."""
        before = self._records.get(record)
        write = f"{int(time.time())}-{uuid.uuid4().hex[:12]}"
        parts = []
        for number, part in enumerate(_parts(cut)):
            parts.append(f"{record}/{write}/{number}")
            self._records.put(parts[-1], part)
        version = self._records.put(record, {**asdict(source), "parts": parts})
        self._forget_parts(before)
        return version, parts

    def _names(self, record: str, parts: list[str]) -> bool:
        """Whether the record names these parts, and not those of a later call."""
        kept = self._records.get(record)
        return kept is not None and kept["parts"] == parts

    def _forget_parts(self, record: Mapping[str, Any] | None) -> None:
        for part in record["parts"] if record else ():
            self._records.delete(part)

    def _forget_abandoned(self, record: str, parts: Collection[str]) -> None:
        """Delete what killed calls have left, and nothing of calls that may still be at work."""
        for part in self._records.versions(f"{record}/"):
            written = int(part.split("/")[2].partition("-")[0])
            if part not in parts and time.time() - written > _ABANDONED_SECONDS:
                self._records.delete(part)

    def _read(self, record: str) -> tuple[Source, list[Passage]] | None:
        """Returns None for a source that is not there any more, or is being replaced all the time."""
        for _ in range(_MAX_TRIES):
            kept = self._records.get(record)
            if kept is None:
                return None
            parts = [self._records.get(part) for part in kept.pop("parts")]
            if None not in parts:
                passages = [Passage(place=place, text=text) for part in parts for place, text in part]
                return Source(**{**kept, "remarks": tuple(kept["remarks"])}), passages
        return None

    # -- this machine's index

    def _update(self) -> None:
        self._take_earlier()
        if not self._path.exists():
            self._forget_machines()
        versions = self._records.versions(_PREFIX)
        kept = {record: version for record, version in versions.items() if record.count("/") == 1}
        try:
            self._make(kept)
        except IndexUnusable:
            if not self._local.damaged():
                raise
            self._path.unlink(missing_ok=True)
            self._make(kept)

    def _make(self, kept: Mapping[str, str]) -> None:
        local = self._local.versions()
        for key in local:
            if _record(key) not in kept:
                self._local.remove(key)
        known = {_record(key): version for key, version in local.items()}
        for record, version in kept.items():
            if known.get(record) != version and (found := self._read(record)) is not None:
                self._local.replace(*found, version=version)

    def _forget_machines(self) -> None:
        """Delete the indexes of machines that are gone: each new container has another name."""
        for other in self._path.parent.glob("index-*.db"):
            with contextlib.suppress(OSError):
                if time.time() - other.stat().st_mtime > _MACHINE_SECONDS:
                    other.unlink()

    def _take_earlier(self) -> None:
        """Keep the sources of an index that was a file alone, as versions before the records wrote it.

        Renamed first, so that an earlier version, which may still run, begins a file of its own. Records win.
        """
        if self._earlier.exists():
            with contextlib.suppress(FileNotFoundError):  # another call was faster
                self._earlier.replace(self._taken)
        if not self._taken.exists():
            return
        earlier = SqliteIndex(self._taken)
        with contextlib.suppress(IndexUnusable):
            for source in earlier.sources():
                if self._records.get(_record(source.key)) is None:
                    self._keep(source, earlier.passages(source.key))
        self._taken.unlink(missing_ok=True)


def _record(key: str) -> str:
    return f"{_PREFIX}{_digest(key)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _parts(cut: list[Passage]) -> Iterator[list[list[str]]]:
    part: list[list[str]] = []
    size = 0
    for passage in cut:
        if part and size + len(passage.text) > _MAX_CHARACTERS:
            yield part
            part, size = [], 0
        part.append([passage.place, passage.text])
        size += len(passage.text) + len(passage.place)
    if part:
        yield part
