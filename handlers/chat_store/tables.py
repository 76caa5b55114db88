"""The tables, for every database that SQLAlchemy speaks. A change here goes with a migration in `versions/`."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("identifier", String(255), primary_key=True),
    Column("metadata", Text, nullable=False),  # JSON, as text: the same on every database
    Column("created_at", Float, nullable=False),  # unix seconds
)

feedbacks = Table(
    "feedbacks",
    metadata,
    Column("for_id", String(255), primary_key=True),  # the run that is judged
    Column("id", String(64), nullable=False, unique=True),
    Column("thread_id", String(64), nullable=False, index=True),
    Column("value", Integer, nullable=False),  # 0: bad, 1: good
    Column("comment", Text),
)
