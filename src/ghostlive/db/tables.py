"""The tables. A change here needs a migration in `migrations/versions`; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """See `TypeDecorator`."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without its time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """See `TypeDecorator`."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_BigInteger = BigInteger().with_variant(Integer, "sqlite")
"""64 bits everywhere; SQLite's own integers are, and only INTEGER can be its row id."""

streams = Table(
    "streams",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("title", Text, nullable=False, default="", server_default=""),
    Column("description", Text, nullable=False, default="", server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("owner_id", Integer, ForeignKey("users.id", ondelete="SET NULL")),
    Column("ladder", Text),
    Index(None, "owner_id"),
)

stream_keys = Table(
    "stream_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("hint", String(4), nullable=False),
    Column("label", Text, nullable=False, default="", server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Index(None, "stream_id"),
)

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("role IN ('owner', 'admin', 'streamer', 'moderator')", name="role"),
    # The chat knows people by their number: nobody may get that of somebody who is gone.
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("agent", Text, nullable=False, default="", server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "user_id"),
)

chat_guests = Table(
    "chat_guests",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("address_hash", String(64), nullable=False, default="", server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
)

# `id` and `deleted_seq` come from one counter, so that one number says how far a viewer has come.
chat_messages = Table(
    "chat_messages",
    metadata,
    Column("id", _BigInteger, primary_key=True, autoincrement=False),
    Column("stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("author", String(16), nullable=False),
    Column("txn", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("reply_to", _BigInteger),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("deleted_seq", _BigInteger),
    Column("deleted_by", Text),
    Column("kind", String(16), nullable=False, default="text", server_default="text"),
    Column("mxid", Text),
    Column("html", Text),
    Column("extra", Text),
    Column("edited_at", UtcDateTime),
    Column("changed_seq", _BigInteger),
    UniqueConstraint("stream_id", "author", "txn"),
    Index(None, "stream_id", "id"),
    Index(None, "stream_id", "deleted_seq"),
    Index(None, "stream_id", "changed_seq"),
)

chat_reactions = Table(
    "chat_reactions",
    metadata,
    Column("message_id", _BigInteger, ForeignKey("chat_messages.id", ondelete="CASCADE"), primary_key=True),
    Column("author", String(16), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("seq", _BigInteger, nullable=False),
)

# Which events of Matrix belong to which message: those that came from there, and those that we sent.
chat_events = Table(
    "chat_events",
    metadata,
    Column("event_id", String(255), primary_key=True),
    Column("stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("message_id", _BigInteger, ForeignKey("chat_messages.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("author", String(16), nullable=False, default="", server_default=""),
    Column("key", String(128), nullable=False, default="", server_default=""),
    Index(None, "message_id"),
    Index(None, "stream_id"),
)

# What the media proxy may fetch: only what stood in a message or a profile.
chat_media = Table(
    "chat_media",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("mxc", Text, nullable=False),
    Column("type", String(64), nullable=False, default="", server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
)
