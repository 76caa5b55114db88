"""Users, feedback and ended logins in portable SQL. Errors are raised, never swallowed."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import create_async_engine

from handlers.chat_store.tables import ended_logins, feedbacks, identities, users
from jobs import SchemaTooNew

MIGRATIONS = Path(__file__).parent
BUSY_SECONDS = 30
MIGRATION_LOCK = 0x10_96_4A_03
"""PostgreSQL's advisory lock: of several processes that start at once, one migrates."""


@dataclass(frozen=True, kw_only=True)
class StoredUser:
    identifier: str
    metadata: dict[str, Any]
    created_at: float
    """Unix seconds."""


@dataclass(frozen=True, kw_only=True)
class StoredFeedback:
    id: str
    for_id: str
    thread_id: str
    value: int
    """0: bad, 1: good."""
    comment: str | None


@dataclass(frozen=True, kw_only=True)
class EndedLogin:
    id: int
    digest: str
    expires_at: float
    """Unix seconds."""


class ChatStore:
    """`async with ChatStore(url) as store`: migrates the tables first, or raises `SchemaTooNew`. `url` must name an
    async driver."""

    def __init__(self, url: str) -> None:
        is_sqlite = url.startswith("sqlite")
        # A pooler before PostgreSQL gives each transaction another connection, which knows no prepared statement.
        options: dict[str, Any] = {"timeout": BUSY_SECONDS} if is_sqlite else {"prepare_threshold": None}
        self._engine = create_async_engine(url, connect_args=options, pool_pre_ping=not is_sqlite)

    async def __aenter__(self) -> Self:
        async with self._engine.begin() as connection:
            await connection.run_sync(_migrate)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.dispose()

    async def user(self, identifier: str) -> StoredUser | None:
        query = sa.select(users).where(users.c.identifier == identifier)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return StoredUser(
            identifier=row.identifier, metadata=json.loads(row._mapping["metadata"]), created_at=row.created_at
        )

    async def save_user(self, identifier: str, metadata: dict[str, Any]) -> StoredUser:
        known = await self.user(identifier)
        if known is None:
            values = {"identifier": identifier, "metadata": json.dumps(metadata), "created_at": time.time()}
            try:
                await self._run(sa.insert(users).values(**values))
            except sa.exc.IntegrityError:  # another page of the same user was faster
                known = await self.user(identifier)
        if known is not None and known.metadata != metadata:  # each login comes here, also while the disk is full
            await self._run(
                sa.update(users).where(users.c.identifier == identifier).values(metadata=json.dumps(metadata))
            )
        saved = await self.user(identifier)
        assert saved is not None
        return saved

    async def delete_user(self, identifier: str) -> None:
        await self._run(sa.delete(users).where(users.c.identifier == identifier))
        await self._run(sa.delete(identities).where(identities.c.identifier == identifier))

    async def save_feedback(self, feedback: StoredFeedback) -> str:
        """Saves feedback, replacing earlier feedback on the same run. Returns its id."""
        values = {
            "id": feedback.id,
            "thread_id": feedback.thread_id,
            "value": feedback.value,
            "comment": feedback.comment,
        }
        async with self._engine.begin() as connection:
            where = feedbacks.c.for_id == feedback.for_id
            updated = await connection.execute(sa.update(feedbacks).where(where).values(**values))
            if updated.rowcount == 0:
                await connection.execute(sa.insert(feedbacks).values(for_id=feedback.for_id, **values))
        return feedback.id

    async def delete_feedback(self, feedback_id: str) -> bool:
        return await self._run(sa.delete(feedbacks).where(feedbacks.c.id == feedback_id)) > 0

    async def run_of_feedback(self, feedback_id: str) -> str | None:
        """Returns the id of the run that the feedback is about."""
        query = sa.select(feedbacks.c.for_id).where(feedbacks.c.id == feedback_id)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).scalar()

    async def feedback_of_thread(self, thread_id: str) -> Sequence[StoredFeedback]:
        query = sa.select(feedbacks).where(feedbacks.c.thread_id == thread_id)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [
            StoredFeedback(id=row.id, for_id=row.for_id, thread_id=row.thread_id, value=row.value, comment=row.comment)
            for row in rows
        ]

    async def delete_thread(self, thread_id: str) -> None:
        await self._run(sa.delete(feedbacks).where(feedbacks.c.thread_id == thread_id))

    async def identity(self, subject: str, name: str) -> str:
        """Returns the user of a provider's account: the subject itself, unless an earlier version knew it by its name.

        The first account with such a name that comes gets the user, for good; a later one with the same name does not.
        """
        known = await self._identity(subject)
        if known is None and name != subject and await self.user(name) is not None:
            # The name may be another account's already, or this account's, which logs in twice at once.
            with contextlib.suppress(sa.exc.IntegrityError):
                await self._run(sa.insert(identities).values(subject=subject, identifier=name))
            known = await self._identity(subject)
        return known or subject

    async def _identity(self, subject: str) -> str | None:
        query = sa.select(identities.c.identifier).where(identities.c.subject == subject)
        async with self._engine.connect() as connection:
            found: str | None = (await connection.execute(query)).scalar()
        return found

    async def end_login(self, digest: str, expires_at: float) -> None:
        with contextlib.suppress(sa.exc.IntegrityError):  # another tab has logged out at the same time
            await self._run(sa.insert(ended_logins).values(digest=digest, expires_at=expires_at))

    async def logins_ended_after(self, number: int) -> Sequence[EndedLogin]:
        """Returns those with a greater id, in the ids' order."""
        query = sa.select(ended_logins).where(ended_logins.c.id > number).order_by(ended_logins.c.id)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [EndedLogin(id=row.id, digest=row.digest, expires_at=row.expires_at) for row in rows]

    async def forget_logins(self, expired_at: float) -> None:
        """Deletes those whose tokens have expired by then."""
        await self._run(sa.delete(ended_logins).where(ended_logins.c.expires_at < expired_at))

    async def _run(self, statement: sa.Insert | sa.Update | sa.Delete) -> int:
        async with self._engine.begin() as connection:
            return int((await connection.execute(statement)).rowcount)


def _migrate(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        # The driver begins no transaction before DDL, so two processes that start at once would both create the tables.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:  # the stored revision is none of ours
        raise SchemaTooNew from None
