"""Records of one conversation: those of a handler, or in a file that several processes may share."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from toolkit import Records
from toolkit.handler import Asked, DeleteRecord, Found, GetRecord, ListRecords, PutRecord

TABLE = "CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, key TEXT UNIQUE, version TEXT, data TEXT)"
PUT = """
INSERT INTO records (key, version, data) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET version = excluded.version, data = excluded.data
"""


def records_of(kept: dict[str, Any]) -> Records:
    """Returns what a RecordingHandler with these records has kept."""

    def ask(asked: Asked) -> Found:
        match asked:
            case GetRecord():
                return Found(value=kept.get(asked.key))
            case ListRecords():
                return Found(value=[[key, repr(kept[key])] for key in kept if key.startswith(asked.prefix)])
        raise AssertionError(f"only looked at: {asked}")

    return Records(ask)


def records_in(folder: Path) -> Records:
    """Returns records that are kept beside the folder."""
    path = folder.with_name(f"{folder.name}-records.db")

    def ask(asked: Asked) -> Any:
        with closing(sqlite3.connect(path, timeout=60)) as db, db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute(TABLE)
            match asked:
                case PutRecord():
                    data = json.dumps(asked.value)
                    version = hashlib.sha256(data.encode()).hexdigest()
                    db.execute(PUT, (asked.key, version, data))
                    return Found(value=version)
                case DeleteRecord():
                    db.execute("DELETE FROM records WHERE key = ?", (asked.key,))
                case GetRecord():
                    row = db.execute("SELECT data FROM records WHERE key = ?", (asked.key,)).fetchone()
                    return Found(value=json.loads(row[0]) if row else None)
                case ListRecords():
                    rows = db.execute("SELECT key, version FROM records ORDER BY number").fetchall()
                    return Found(value=[list(row) for row in rows if row[0].startswith(asked.prefix)])
            return None

    return Records(ask)
