"""The index in one SQLite file: full-text search with FTS5, ranked by BM25."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.search.index import MARK_END, MARK_START, MAX_PASSAGE, Hit, IndexUnusable, Passage, Source
from tools.search.query import Query, normal, spaced, unspaced

_BUSY_SECONDS = 20.0
_HEADING_WEIGHT = 2.0
"""A word in the title of the section or page counts as much as two in the text."""
_SNIPPET_WORDS = 28
_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    title TEXT NOT NULL,
    kind TEXT NOT NULL,
    pages INTEGER,
    remarks TEXT NOT NULL,
    passages INTEGER NOT NULL,
    version TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS passages (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES sources (id),
    place TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS passages_of_source ON passages (source_id);
CREATE VIRTUAL TABLE IF NOT EXISTS passage_words
    USING fts5 (text, heading, tokenize = 'porter unicode61 remove_diacritics 2');
"""
_COLUMNS = "s.key, s.name, s.title, s.kind, s.pages, s.remarks, s.passages"


class SqliteIndex:
    """An IndexStore in the file at `path`, which is created with the first source."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def replace(self, source: Source, passages: Iterable[Passage], version: str = "") -> Source:
        """`version` is kept beside the source, for `versions`."""
        cut = [(passage.place, storable(passage.text)) for passage in passages]
        with self._writing() as db:
            known = db.execute("SELECT id, name FROM sources WHERE key = ?", (source.key,)).fetchone()
            if known is not None:
                _empty(db, known[0])
            name, remarks = _free_name(db, source), json.dumps(source.remarks)
            row = (name, source.title, source.kind, source.pages, remarks, len(cut), version, source.key)
            if known is None:
                columns = "name, title, kind, pages, remarks, passages, version, key"
                insert = f"INSERT INTO sources ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                identity = db.execute(insert, row).lastrowid
            else:
                columns = "name=?, title=?, kind=?, pages=?, remarks=?, passages=?, version=?"
                db.execute(f"UPDATE sources SET {columns} WHERE key=?", row)
                identity = known[0]
            _fill(db, identity, f"{source.title} {Path(source.name).stem}", cut)
            return _source(db.execute(f"SELECT {_COLUMNS} FROM sources s WHERE key = ?", (source.key,)).fetchone())

    def remove(self, key: str) -> bool:
        if not self._path.exists():
            return False
        with self._writing() as db:
            row = db.execute("SELECT id FROM sources WHERE key = ?", (key,)).fetchone()
            if row is None:
                return False
            _empty(db, row[0])
            db.execute("DELETE FROM sources WHERE id = ?", row)
            return True

    def source(self, key: str) -> Source | None:
        with self._reading() as db:
            row = db and db.execute(f"SELECT {_COLUMNS} FROM sources s WHERE key = ?", (key,)).fetchone()
            return _source(row) if row else None

    def sources(self) -> list[Source]:
        with self._reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM sources s ORDER BY id").fetchall() if db else []
            return [_source(row) for row in rows]

    def versions(self) -> dict[str, str]:
        """Returns the version of each source, by key."""
        with self._reading() as db:
            return dict(db.execute("SELECT key, version FROM sources").fetchall()) if db else {}

    def passages(self, key: str) -> list[Passage]:
        """Returns a source's passages, in order."""
        of_source = "passages p JOIN sources s ON s.id = p.source_id WHERE s.key = ?"
        sql = f"SELECT p.place, p.text FROM {of_source} ORDER BY p.id"
        with self._reading() as db:
            return [Passage(place=place, text=text) for place, text in db.execute(sql, (key,))] if db else []

    def free_name(self, source: Source) -> str:
        """Returns the name that `replace` would give it."""
        with self._reading() as db:
            return _free_name(db, source) if db else source.name

    def damaged(self) -> bool:
        """Returns whether the file is damaged, or no index."""
        try:
            with _connection(self._path) as db:
                return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        except sqlite3.OperationalError:
            return False
        except sqlite3.DatabaseError:
            return True

    def search(self, query: str, limit: int) -> list[Hit]:
        parsed = Query.parse(query)
        if parsed.empty:
            return []
        snippet = f"snippet(passage_words, 0, '{MARK_START}', '{MARK_END}', '…', {_SNIPPET_WORDS})"
        select = f"""
            SELECT p.place, p.text, -bm25(passage_words, 1.0, {_HEADING_WEIGHT}), {snippet}, {_COLUMNS}
            FROM passage_words w JOIN passages p ON p.id = w.rowid JOIN sources s ON s.id = p.source_id
            WHERE passage_words MATCH ? ORDER BY bm25(passage_words, 1.0, {_HEADING_WEIGHT}), p.id LIMIT ?
        """
        with self._reading() as db:
            return [_hit(row) for row in db.execute(select, (_match(parsed), limit))] if db else []

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Opens a new connection each time, for use in any thread or process; None when there is no index."""
        if not self._path.exists():
            yield None
            return
        with _sentences(), _connection(self._path) as db:
            # A file without tables: its first writer was killed or has not committed yet.
            if db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'passage_words'").fetchone()[0]:
                yield db
            else:
                yield None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _sentences(), _connection(self._path) as db:
            db.execute("PRAGMA journal_mode = DELETE")  # WAL does not work on a directory that machines share
            db.execute("BEGIN IMMEDIATE")
            try:
                if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                    _make_tables(db)
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        db.execute(
            "PRAGMA synchronous = FULL"
        )  # the source's step is recorded after this commit and must not outlive it
        yield db
    finally:
        db.close()


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise IndexUnusable("The index of this conversation is busy. Try again in a minute.") from error
        if "full" in str(error):
            raise IndexUnusable("The disk is full: nothing more can be indexed.") from error
        raise
    except sqlite3.DatabaseError as error:
        raise IndexUnusable(
            "The index of this conversation is damaged. Start a new conversation and index the documents there."
        ) from error


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {_VERSION}")


def _empty(db: sqlite3.Connection, source_id: int) -> None:
    db.execute("DELETE FROM passage_words WHERE rowid IN (SELECT id FROM passages WHERE source_id = ?)", (source_id,))
    db.execute("DELETE FROM passages WHERE source_id = ?", (source_id,))


def _fill(db: sqlite3.Connection, source_id: int | None, title: str, cut: list[tuple[str, str]]) -> None:
    start: int = db.execute("SELECT coalesce(max(id), 0) + 1 FROM passages").fetchone()[0]
    numbered = list(enumerate(cut, start))
    db.executemany(
        "INSERT INTO passages (id, source_id, place, text) VALUES (?, ?, ?, ?)",
        ((number, source_id, place, text) for number, (place, text) in numbered),
    )
    db.executemany(
        "INSERT INTO passage_words (rowid, text, heading) VALUES (?, ?, ?)",
        ((number, spaced(text), spaced(f"{title} {place}")) for number, (place, text) in numbered),
    )


def _free_name(db: sqlite3.Connection, source: Source) -> str:
    """Returns the source's name, with a number appended if another source has this name."""
    name, number = source.name, 2
    while db.execute("SELECT 1 FROM sources WHERE name = ? AND key <> ?", (name, source.key)).fetchone():
        name, number = f"{source.name} ({number})", number + 1
    return name


def _match(query: Query) -> str:
    """Returns an FTS5 expression. Terms are quoted and hold only letters and digits, so users cannot inject syntax."""
    required = [_quoted(term) for term in query.required]
    optional = " OR ".join(_quoted(term) for term in query.optional)
    if not required:
        return optional
    # With a required phrase, the other words only affect the ranking: the phrase always satisfies the parentheses.
    ranking = [f"({optional} OR {required[0]})"] if optional else []
    return " AND ".join([*required, *ranking])


def _quoted(term: tuple[str, ...]) -> str:
    return f'"{" ".join(term)}"'


def storable(text: str) -> str:
    """Returns the passage's text as the index keeps it."""
    return normal(text.replace("\0", " ").replace(MARK_START, " ").replace(MARK_END, " "))[:MAX_PASSAGE]


def _source(row: tuple[str, str, str, str, int | None, str, int]) -> Source:
    key, name, title, kind, pages, remarks, passages = row
    return Source(
        key=key, name=name, title=title, kind=kind, pages=pages, remarks=tuple(json.loads(remarks)), passages=passages
    )


def _hit(row: tuple[str, str, float, str, str, str, str, str, int | None, str, int]) -> Hit:
    place, text, score, snippet = row[:4]
    return Hit(source=_source(row[4:]), place=place, text=text, score=float(f"{score:.4g}"), snippet=_line(snippet))


def _line(snippet: str) -> str:
    return unspaced(" ".join(snippet.split()))
