"""Logins that ended before their tokens expire."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_logins",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("expires_at", sa.Float, nullable=False),
        sqlite_autoincrement=True,  # a number is never used twice: readers ask for greater ones
    )


def downgrade() -> None:
    op.drop_table("ended_logins")
