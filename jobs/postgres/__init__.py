"""The job store and the wake-ups on PostgreSQL: one database for the processes of any number of machines."""

from jobs.postgres.store import PostgresStore
from jobs.postgres.wake import PostgresWake

__all__ = ["PostgresStore", "PostgresWake"]
