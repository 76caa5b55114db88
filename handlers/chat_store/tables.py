"""The tables, for every database that SQLAlchemy supports. Every change needs a migration in `versions/`."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("identifier", String(255), primary_key=True),
    Column("metadata", Text, nullable=False),  # JSON as text, to be the same on every database
    Column("created_at", Float, nullable=False),  # unix seconds
)

feedbacks = Table(
    "feedbacks",
    metadata,
    Column("for_id", String(255), primary_key=True),  # the rated run
    Column("id", String(64), nullable=False, unique=True),
    Column("thread_id", String(64), nullable=False, index=True),
    Column("value", Integer, nullable=False),  # 0: bad, 1: good
    Column("comment", Text),
)

ended_logins = Table(
    "ended_logins",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),  # in order, so that readers ask for what is new
    Column("digest", String(64), nullable=False, unique=True),  # of a token that was logged out
    Column("expires_at", Float, nullable=False),  # unix seconds; the token is worth nothing from then on
    sqlite_autoincrement=True,
)

identities = Table(
    "identities",
    metadata,
    Column("subject", String(255), primary_key=True),  # `provider:subject`
    Column("identifier", String(255), nullable=False, unique=True),  # the user of an earlier version, by name
)
