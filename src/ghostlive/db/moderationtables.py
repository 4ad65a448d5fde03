"""The tables of moderation: rules, what waits, who was named, who watched for how long, and what was done by whom."""

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from ghostlive.db.tables import UtcDateTime, metadata

_BigInteger = BigInteger().with_variant(Integer, "sqlite")


def _stream(*, primary_key: bool = False) -> "Column[int]":
    return Column(
        "stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE"), primary_key=primary_key, nullable=False
    )


chat_rules = Table(
    "chat_rules",
    metadata,
    _stream(primary_key=True),
    Column("rules", Text, nullable=False, default="{}", server_default="{}"),
    Column("pinned", _BigInteger),
)

# A row stays when it was decided, without its words: a message that is sent again must not wait again.
chat_held = Table(
    "chat_held",
    metadata,
    Column("id", Integer, primary_key=True),
    _stream(),
    Column("author", String(16), nullable=False),
    Column("txn", String(64), nullable=False),
    Column("post", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("decided_by", Text),
    Column("message_id", _BigInteger),
    UniqueConstraint("stream_id", "author", "txn"),
    Index(None, "stream_id", "decided_at"),
    sqlite_autoincrement=True,
)

chat_moderators = Table(
    "chat_moderators",
    metadata,
    _stream(primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("name", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
)

chat_trusted = Table(
    "chat_trusted",
    metadata,
    _stream(primary_key=True),
    Column("author", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
)

chat_watched = Table(
    "chat_watched",
    metadata,
    _stream(primary_key=True),
    Column("author", String(16), primary_key=True),
    Column("seconds", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

chat_audit = Table(
    "chat_audit",
    metadata,
    Column("id", Integer, primary_key=True),
    _stream(),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("via", String(8), nullable=False),
    Column("actor", String(16), nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("actor_role", String(16), nullable=False),
    Column("actor_mxid", Text),
    Column("target", String(16)),
    Column("target_name", Text),
    Column("target_mxid", Text),
    Column("seconds", Float),
    Column("reason", Text, nullable=False, default="", server_default=""),
    Column("detail", Text, nullable=False, default="{}", server_default="{}"),
    Index(None, "stream_id", "id"),
    sqlite_autoincrement=True,
)
