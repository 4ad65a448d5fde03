"""A stream's own renditions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column; streams keep the server's renditions."""
    op.add_column("streams", sa.Column("ladder", sa.Text()))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("streams") as streams:
        streams.drop_column("ladder")
