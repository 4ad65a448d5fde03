"""Messages of more kinds, edits, reactions; what belongs to them in Matrix; what the media proxy may fetch."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns and tables; every message is plain text."""
    op.add_column("chat_messages", sa.Column("kind", sa.String(16), nullable=False, server_default="text"))
    op.add_column("chat_messages", sa.Column("mxid", sa.Text()))
    op.add_column("chat_messages", sa.Column("html", sa.Text()))
    op.add_column("chat_messages", sa.Column("extra", sa.Text()))
    op.add_column("chat_messages", sa.Column("edited_at", sa.DateTime(timezone=True)))
    op.add_column("chat_messages", sa.Column("changed_seq", _BIG))
    op.create_index("ix_chat_messages_stream_id_changed_seq", "chat_messages", ["stream_id", "changed_seq"])
    op.create_table(
        "chat_reactions",
        sa.Column("message_id", _BIG, nullable=False),
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("seq", _BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["chat_messages.id"], name="fk_chat_reactions_message_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", "author", "key", name="pk_chat_reactions"),
    )
    op.create_table(
        "chat_events",
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("message_id", _BIG, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("author", sa.String(16), nullable=False, server_default=""),
        sa.Column("key", sa.String(128), nullable=False, server_default=""),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_chat_events_stream_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["chat_messages.id"], name="fk_chat_events_message_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", name="pk_chat_events"),
    )
    op.create_index("ix_chat_events_message_id", "chat_events", ["message_id"])
    op.create_index("ix_chat_events_stream_id", "chat_events", ["stream_id"])
    op.create_table(
        "chat_media",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("mxc", sa.Text(), nullable=False),
        sa.Column("type", sa.String(64), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chat_media"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("chat_media")
    op.drop_table("chat_events")
    op.drop_table("chat_reactions")
    with op.batch_alter_table("chat_messages") as messages:
        messages.drop_index("ix_chat_messages_stream_id_changed_seq")
        for column in ("changed_seq", "edited_at", "extra", "html", "mxid", "kind"):
            messages.drop_column(column)
