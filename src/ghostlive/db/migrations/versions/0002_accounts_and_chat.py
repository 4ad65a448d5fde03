"""Owners of streams, sessions of people who signed in, and the chat."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column and four tables, and let SQLite give no user's number twice."""
    if op.get_bind().dialect.name == "sqlite":
        _number_users_once()
    with op.batch_alter_table("streams") as streams:
        streams.add_column(sa.Column("owner_id", sa.Integer()))
        streams.create_foreign_key("fk_streams_owner_id", "users", ["owner_id"], ["id"], ondelete="SET NULL")
        streams.create_index("ix_streams_owner_id", ["owner_id"])
    op.create_table(
        "sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "chat_guests",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chat_guests"),
        sa.UniqueConstraint("token_hash", name="uq_chat_guests_token_hash"),
    )
    op.create_table(
        "chat_messages",
        sa.Column("id", _BIG, autoincrement=False, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("txn", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reply_to", _BIG),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_seq", _BIG),
        sa.Column("deleted_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_chat_messages"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_chat_messages_stream_id", ondelete="CASCADE"),
        sa.UniqueConstraint("stream_id", "author", "txn", name="uq_chat_messages_stream_id_author_txn"),
    )
    op.create_index("ix_chat_messages_stream_id_id", "chat_messages", ["stream_id", "id"])
    op.create_index("ix_chat_messages_stream_id_deleted_seq", "chat_messages", ["stream_id", "deleted_seq"])
    op.create_table(
        "chat_bans",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("guest_id", sa.String(16), nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False, server_default=""),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("lifted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_chat_bans"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_chat_bans_stream_id", ondelete="CASCADE"),
    )
    op.create_index("ix_chat_bans_stream_id", "chat_bans", ["stream_id"])


def _number_users_once() -> None:
    op.create_table(
        "new_users",
        sa.Column("id", sa.Integer(), nullable=False, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sa.CheckConstraint("role IN ('owner', 'admin', 'streamer', 'moderator')", name=op.f("ck_users_role")),
        sqlite_autoincrement=True,
    )
    op.execute(
        "INSERT INTO new_users (id, name, role, password_hash, created_at) "
        "SELECT id, name, role, password_hash, created_at FROM users"
    )
    op.drop_table("users")
    op.rename_table("new_users", "users")


def downgrade() -> None:
    """Drop them."""
    for table in ("chat_bans", "chat_messages", "chat_guests", "sessions"):
        op.drop_table(table)
    with op.batch_alter_table("streams") as streams:
        streams.drop_index("ix_streams_owner_id")
        streams.drop_constraint("fk_streams_owner_id", type_="foreignkey")
        streams.drop_column("owner_id")
