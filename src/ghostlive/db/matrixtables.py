"""The tables of the bridge to Matrix. What it sends is read from `chat_messages`; here is how far it has come."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from ghostlive.db.tables import UtcDateTime, metadata

_BigInteger = BigInteger().with_variant(Integer, "sqlite")

# A row outlives its stream (`stream_id` becomes NULL), so that the room can be closed whenever the homeserver is back.
matrix_rooms = Table(
    "matrix_rooms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stream_id", Integer, ForeignKey("streams.id", ondelete="SET NULL"), unique=True),
    Column("stream", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("room_id", String(255), unique=True),
    Column("version", String(32), nullable=False, default="", server_default=""),
    Column("state", Text, nullable=False, default="{}", server_default="{}"),
    Column("cursor", _BigInteger, nullable=False, default=0, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
)

# What is neither a message nor seen by looking at one: edits, deletions, reactions, acts of moderation. `seq` is of the
# chat's one counter, so that these and messages have one order.
matrix_pending = Table(
    "matrix_pending",
    metadata,
    Column("id", _BigInteger, primary_key=True),
    Column("stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("seq", _BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("payload", Text, nullable=False),
    Index(None, "stream_id", "seq"),
    # The id is part of the transaction id at the homeserver: it may never come again.
    sqlite_autoincrement=True,
)

matrix_ghosts = Table(
    "matrix_ghosts",
    metadata,
    Column("room", Integer, ForeignKey("matrix_rooms.id", ondelete="CASCADE"), primary_key=True),
    Column("author", String(16), primary_key=True),
    Column("membership", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Index(None, "author"),
)

matrix_transactions = Table(
    "matrix_transactions",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
    Index(None, "seen_at"),
)

matrix_people = Table(
    "matrix_people",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("mxid", String(255), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("avatar", Text),
    Column("seen_at", UtcDateTime, nullable=False),
)

matrix_links = Table(
    "matrix_links",
    metadata,
    Column("author", String(16), primary_key=True),
    Column("mxid", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "mxid"),
)

matrix_codes = Table(
    "matrix_codes",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("author", String(16), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    UniqueConstraint("author"),
)
