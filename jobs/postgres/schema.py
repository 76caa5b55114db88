"""Tables of the job store on PostgreSQL. A migration leaves them usable for the version before, which may still run.

The columns are those of `jobs/sqlite/schema.py`; `jobs.last_seq` is set at a job's end, for versions before protocol 2,
which read there how long the log is. Payloads are text, because PostgreSQL's JSON refuses NUL and half
characters, which models stream.
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

from jobs.errors import SchemaTooNew

MIGRATIONS: tuple[LiteralString, ...] = (
    """
    CREATE TABLE threads (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        title TEXT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL,
        updated_at DOUBLE PRECISION NOT NULL,
        deleted_at DOUBLE PRECISION
    );
    CREATE INDEX threads_by_owner ON threads (owner, updated_at) WHERE deleted_at IS NULL;

    CREATE TABLE jobs (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        "user" TEXT NOT NULL,
        request TEXT NOT NULL,
        submit_key TEXT,
        status TEXT NOT NULL,
        epoch INTEGER NOT NULL DEFAULT 0,
        worker TEXT,
        thread_id TEXT,
        turn INTEGER NOT NULL DEFAULT 0,
        retry_of TEXT,
        root_id TEXT NOT NULL,
        cancelled_by TEXT,
        last_seq BIGINT NOT NULL DEFAULT 0,
        answer TEXT,
        created_at DOUBLE PRECISION NOT NULL,
        started_at DOUBLE PRECISION,
        first_text_at DOUBLE PRECISION,
        finished_at DOUBLE PRECISION
    ) WITH (fillfactor = 50);  -- room for the next version of a row
    CREATE UNIQUE INDEX jobs_by_key ON jobs ("user", submit_key) WHERE submit_key IS NOT NULL;
    CREATE INDEX jobs_by_user ON jobs ("user", number);
    CREATE INDEX jobs_by_thread ON jobs (thread_id, turn, number) WHERE thread_id IS NOT NULL;
    CREATE INDEX jobs_unfinished ON jobs (status, number) WHERE status IN ('queued', 'in_progress');
    CREATE INDEX jobs_by_root ON jobs (root_id, number);
    CREATE INDEX jobs_by_status ON jobs (task, status);
    CREATE INDEX jobs_by_end ON jobs (finished_at, id) WHERE finished_at IS NOT NULL;
    CREATE INDEX jobs_unsettled ON jobs (number) WHERE finished_at IS NOT NULL AND answer IS NULL;

    CREATE TABLE job_events (
        job_id TEXT NOT NULL,
        seq BIGINT NOT NULL,
        epoch INTEGER NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (job_id, seq)
    );
    CREATE INDEX job_milestones ON job_events (job_id, seq) WHERE type NOT IN ('text.delta', 'progress');
    CREATE INDEX job_progress ON job_events (job_id, seq) WHERE type = 'progress';
    CREATE INDEX job_artifacts ON job_events (job_id, seq) WHERE type = 'artifact';

    CREATE TABLE job_inbox (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        job_id TEXT NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX job_inbox_by_job ON job_inbox (job_id, number);

    CREATE TABLE workers (
        id TEXT PRIMARY KEY,
        beat BIGINT NOT NULL DEFAULT 0,
        stopped INTEGER NOT NULL DEFAULT 0,
        tasks TEXT NOT NULL,
        catalogue TEXT NOT NULL,
        machine TEXT NOT NULL DEFAULT ''
    ) WITH (fillfactor = 50);

    CREATE TABLE known_tools (
        name TEXT PRIMARY KEY,
        tool TEXT NOT NULL
    );

    CREATE TABLE rates (
        bucket TEXT PRIMARY KEY,
        free_at DOUBLE PRECISION NOT NULL
    );

    -- The number of the last transaction that each writing connection committed.
    CREATE TABLE writers (
        id TEXT PRIMARY KEY,
        last BIGINT NOT NULL
    ) WITH (fillfactor = 50);

    -- SQLite's function, for the paths that the store uses: `$.name`. A document that PostgreSQL cannot unescape is
    -- searched as it is stored.
    CREATE FUNCTION json_extract(document TEXT, path TEXT) RETURNS TEXT LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        RETURN document::json ->> substr(path, 3);
    EXCEPTION WHEN OTHERS THEN
        RETURN document;
    END
    $$;
    """,
    """
    ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN protocol INTEGER NOT NULL DEFAULT 1;
    UPDATE jobs SET priority = 0 WHERE task = 'chat' AND status = 'queued';
    DROP INDEX jobs_unfinished;
    CREATE INDEX jobs_unfinished ON jobs (status, priority, number) WHERE status IN ('queued', 'in_progress');
    """,
    """
    ALTER TABLE jobs ADD COLUMN patience_seconds DOUBLE PRECISION;
    """,
    """
    -- Values that tools keep for a thread, or for a chain of retries. `number` orders them by their first put.
    CREATE TABLE records (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        version TEXT NOT NULL,
        size INTEGER NOT NULL,
        data TEXT NOT NULL
    );
    CREATE UNIQUE INDEX records_by_key ON records (scope, key);
    """,
    """
    -- How tool calls went, for estimates.
    CREATE TABLE runs (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name TEXT NOT NULL,
        unit TEXT NOT NULL,
        unit_seconds DOUBLE PRECISION,
        silence_seconds DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX runs_by_name ON runs (name, number);
    """,
    """
    -- What users store: uploads, the jobs that name them, and artifacts. A start lists the uploads of earlier versions.
    CREATE TABLE uploads (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        mime TEXT NOT NULL,
        size BIGINT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX uploads_by_owner ON uploads (owner, number, size);
    CREATE INDEX uploads_by_age ON uploads (created_at);
    CREATE TABLE job_files (
        file_id TEXT NOT NULL,
        job_id TEXT NOT NULL,
        PRIMARY KEY (file_id, job_id)
    );
    CREATE INDEX job_files_by_job ON job_files (job_id);
    CREATE TABLE artifacts (
        root_id TEXT NOT NULL,
        name TEXT NOT NULL,
        owner TEXT NOT NULL,
        size BIGINT NOT NULL,
        PRIMARY KEY (root_id, name)
    );
    CREATE INDEX artifacts_by_owner ON artifacts (owner, size);
    INSERT INTO job_files (file_id, job_id)
    SELECT found[1], id FROM jobs, regexp_matches(request, '"(file_[0-9a-f]{24})"', 'g') AS found
    ON CONFLICT DO NOTHING;
    INSERT INTO artifacts (root_id, name, owner, size)
    SELECT DISTINCT ON (1, 2) jobs.root_id, json_extract(data, '$.name'), jobs."user",
    coalesce(substring(data FROM '"size": ?([0-9]+)'), '0')::BIGINT
    FROM job_events JOIN jobs ON jobs.id = job_id WHERE type = 'artifact' ORDER BY 1, 2, jobs.number DESC, seq DESC;
    -- The waiting jobs of a user are counted at each submit, and old conversations are looked for.
    CREATE INDEX jobs_waiting ON jobs ("user") WHERE status = 'queued';
    CREATE INDEX threads_by_age ON threads (updated_at) WHERE deleted_at IS NULL;
    """,
    """
    -- The workers that died under a job since it last finished a step.
    ALTER TABLE jobs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- Whether its first job runs at once. 1: also for workers of earlier versions, which do not tell.
    ALTER TABLE workers ADD COLUMN warm INTEGER NOT NULL DEFAULT 1;
    """,
    """
    -- Deleted jobs whose events and files may still be there. `root_id`: whose files no other job needs.
    CREATE TABLE removals (
        job_id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        root_id TEXT
    );
    """,
)

LOCK = 0x10_96_4A_02
"""The advisory lock of a migration: of several processes that start at once, one migrates."""


def migrate(connection: psycopg.Connection[Any]) -> None:
    """Apply the missing migrations, in one transaction. Raises `SchemaTooNew`."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        connection.execute("CREATE TABLE IF NOT EXISTS longhaul_schema (version INTEGER NOT NULL)")
        [row] = connection.execute("SELECT coalesce(max(version), 0) FROM longhaul_schema")
        if row[0] > len(MIGRATIONS):
            raise SchemaTooNew
        for version, statements in enumerate(MIGRATIONS[row[0] :], row[0] + 1):
            connection.execute(statements)
            connection.execute("INSERT INTO longhaul_schema VALUES (%s)", [version])
