"""Moderation: rules, messages that wait, moderators and trusted people of a stream, the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("chat_audit", "chat_watched", "chat_trusted", "chat_moderators", "chat_held", "chat_rules")


def upgrade() -> None:
    """Add six tables; no stream has a rule."""
    op.create_table(
        "chat_rules",
        _stream(),
        sa.Column("rules", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("pinned", _BIG),
        sa.PrimaryKeyConstraint("stream_id", name="pk_chat_rules"),
        _belongs("chat_rules"),
    )
    op.create_table(
        "chat_held",
        sa.Column("id", sa.Integer(), nullable=False, primary_key=True),
        _stream(),
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("txn", sa.String(64), nullable=False),
        sa.Column("post", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decided_by", sa.Text()),
        sa.Column("message_id", _BIG),
        _belongs("chat_held"),
        sa.UniqueConstraint("stream_id", "author", "txn", name="uq_chat_held_stream_id_author_txn"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chat_held_stream_id_decided_at", "chat_held", ["stream_id", "decided_at"])
    op.create_table(
        "chat_moderators",
        _stream(),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "subject", name="pk_chat_moderators"),
        _belongs("chat_moderators"),
    )
    op.create_table(
        "chat_trusted",
        _stream(),
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "author", name="pk_chat_trusted"),
        _belongs("chat_trusted"),
    )
    op.create_table(
        "chat_watched",
        _stream(),
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "author", name="pk_chat_watched"),
        _belongs("chat_watched"),
    )
    op.create_table(
        "chat_audit",
        sa.Column("id", sa.Integer(), nullable=False, primary_key=True),
        _stream(),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("via", sa.String(8), nullable=False),
        sa.Column("actor", sa.String(16), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("actor_role", sa.String(16), nullable=False),
        sa.Column("actor_mxid", sa.Text()),
        sa.Column("target", sa.String(16)),
        sa.Column("target_name", sa.Text()),
        sa.Column("target_mxid", sa.Text()),
        sa.Column("seconds", sa.Float()),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("detail", sa.Text(), nullable=False, server_default="{}"),
        _belongs("chat_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chat_audit_stream_id_id", "chat_audit", ["stream_id", "id"])


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.drop_table(table)


def _stream() -> "sa.Column[int]":
    return sa.Column("stream_id", sa.Integer(), nullable=False)


def _belongs(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=f"fk_{table}_stream_id", ondelete="CASCADE")
