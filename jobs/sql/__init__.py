"""The job store in the SQL that SQLite and PostgreSQL share."""
