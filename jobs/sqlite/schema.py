"""Tables of the job store. `PRAGMA user_version` counts the `MIGRATIONS` that were applied to a file."""

from __future__ import annotations

import sqlite3

from jobs.errors import SchemaTooNew

MIGRATIONS = (
    """
    CREATE TABLE threads (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        title TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        deleted_at REAL
    );
    CREATE INDEX threads_by_owner ON threads (owner, updated_at) WHERE deleted_at IS NULL;

    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        user TEXT NOT NULL,
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
        last_seq INTEGER NOT NULL DEFAULT 0,
        answer TEXT,
        created_at REAL NOT NULL,
        started_at REAL,
        finished_at REAL
    );
    CREATE UNIQUE INDEX jobs_by_key ON jobs (user, submit_key) WHERE submit_key IS NOT NULL;
    CREATE INDEX jobs_by_user ON jobs (user, number);
    CREATE INDEX jobs_by_thread ON jobs (thread_id, turn, number) WHERE thread_id IS NOT NULL;
    CREATE INDEX jobs_unfinished ON jobs (status, number) WHERE status IN ('queued', 'in_progress');
    CREATE INDEX jobs_by_root ON jobs (root_id, number);

    CREATE TABLE job_events (
        job_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (job_id, seq)
    ) WITHOUT ROWID;
    -- Checkpoints of a job with 100,000 deltas are found without reading the deltas.
    CREATE INDEX job_milestones ON job_events (job_id, seq) WHERE type NOT IN ('text.delta', 'progress');

    CREATE TABLE workers (
        id TEXT PRIMARY KEY,
        beat INTEGER NOT NULL DEFAULT 0,
        stopped INTEGER NOT NULL DEFAULT 0,
        tasks TEXT NOT NULL,
        catalogue TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    -- The tools of the newest worker, offered while there is no worker.
    CREATE TABLE known_tools (
        name TEXT PRIMARY KEY,
        tool TEXT NOT NULL
    ) WITHOUT ROWID;

    -- When each bucket is free again, in Unix seconds.
    CREATE TABLE rates (
        bucket TEXT PRIMARY KEY,
        free_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    -- For lists: a job's progress and artifacts are found without reading its log.
    CREATE INDEX job_progress ON job_events (job_id, seq) WHERE type = 'progress';
    CREATE INDEX job_artifacts ON job_events (job_id, seq) WHERE type = 'artifact';
    """,
    """
    -- For the metrics, which are read often: the jobs that exist, and those that ended since the last read.
    ALTER TABLE jobs ADD COLUMN first_text_at REAL;
    CREATE INDEX jobs_by_status ON jobs (task, status);
    CREATE INDEX jobs_by_end ON jobs (finished_at, id) WHERE finished_at IS NOT NULL;
    """,
    """
    -- Messages to a running job's holder, until it writes them into the log. Numbers are never used twice.
    CREATE TABLE job_inbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL,
        at REAL NOT NULL
    );
    CREATE INDEX job_inbox_by_job ON job_inbox (job_id, number);
    -- Jobs that another process than their holder ended, without their answers.
    CREATE INDEX jobs_unsettled ON jobs (number) WHERE finished_at IS NOT NULL AND answer IS NULL;
    INSERT INTO job_inbox (job_id, type, data, at)
    SELECT id, 'job.cancelling', json_object('by', cancelled_by), created_at FROM jobs
    WHERE status = 'in_progress' AND cancelled_by IS NOT NULL;
    """,
    """
    -- Empty: a worker of an earlier version, which runs here.
    ALTER TABLE workers ADD COLUMN machine TEXT NOT NULL DEFAULT '';
    """,
    """
    -- The order of the queue (`jobs.rules.priority`), and who can go on with a job (`jobs.rules.PROTOCOL`).
    ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN protocol INTEGER NOT NULL DEFAULT 1;
    UPDATE jobs SET priority = 0 WHERE task = 'chat' AND status = 'queued';
    DROP INDEX jobs_unfinished;
    CREATE INDEX jobs_unfinished ON jobs (status, priority, number) WHERE status IN ('queued', 'in_progress');
    """,
    """
    ALTER TABLE jobs ADD COLUMN patience_seconds REAL;
    """,
    """
    -- Values that tools keep for a thread, or for a chain of retries. `number` orders them by their first put.
    CREATE TABLE records (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
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
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        unit TEXT NOT NULL,
        unit_seconds REAL,
        silence_seconds REAL NOT NULL
    );
    CREATE INDEX runs_by_name ON runs (name, number);
    """,
    """
    -- What users store: uploads, the jobs that name them, and artifacts. A start lists the uploads of earlier versions.
    CREATE TABLE uploads (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        mime TEXT NOT NULL,
        size INTEGER NOT NULL,
        created_at REAL NOT NULL
    );
    CREATE INDEX uploads_by_owner ON uploads (owner, number, size);
    CREATE INDEX uploads_by_age ON uploads (created_at);
    CREATE TABLE job_files (
        file_id TEXT NOT NULL,
        job_id TEXT NOT NULL,
        PRIMARY KEY (file_id, job_id)
    ) WITHOUT ROWID;
    CREATE INDEX job_files_by_job ON job_files (job_id);
    CREATE TABLE artifacts (
        root_id TEXT NOT NULL,
        name TEXT NOT NULL,
        owner TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (root_id, name)
    ) WITHOUT ROWID;
    CREATE INDEX artifacts_by_owner ON artifacts (owner, size);
    INSERT OR IGNORE INTO job_files (file_id, job_id)
    SELECT file.value, jobs.id FROM jobs, json_each(jobs.request, '$.files') AS file;
    INSERT OR REPLACE INTO artifacts (root_id, name, owner, size)
    SELECT jobs.root_id, json_extract(data, '$.name'), jobs.user, json_extract(data, '$.size')
    FROM job_events JOIN jobs ON jobs.id = job_id WHERE type = 'artifact';
    -- The waiting jobs of a user are counted at each submit, and old conversations are looked for.
    CREATE INDEX jobs_waiting ON jobs (status, user) WHERE status = 'queued';
    -- SQLite takes an index WHERE status IN ('queued', 'in_progress') for no query that asks for one of them.
    DROP INDEX jobs_unfinished;
    CREATE INDEX jobs_queued ON jobs (status, priority, number) WHERE status = 'queued';
    CREATE INDEX jobs_running ON jobs (status, priority, number) WHERE status = 'in_progress';
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


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing migrations. Several processes may start at once, so each runs in one exclusive transaction.

    Raises `SchemaTooNew`.
    """
    while True:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            connection.execute("ROLLBACK")
            raise SchemaTooNew
        if version == len(MIGRATIONS):
            connection.execute("COMMIT")
            return
        for statement in MIGRATIONS[version].split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
