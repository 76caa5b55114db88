"""Providers' accounts whose users are called by a name of before accounts were told apart by their subjects."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("identifier", sa.String(255), nullable=False, unique=True),
    )


def downgrade() -> None:
    op.drop_table("identities")
