"""The tables of bans: whom they name, and by what they are known again (`chat.identity`)."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, false

from ghostlive.db.tables import UtcDateTime, metadata

# Without a stream, a ban is of the whole site.
chat_bans = Table(
    "chat_bans",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE")),
    Column("guest_id", String(16), nullable=False, default="", server_default=""),
    Column("mxid", Text),
    Column("name", Text, nullable=False),
    Column("reason", Text, nullable=False, default="", server_default=""),
    Column("tag", String(16), nullable=False, default="", server_default=""),
    Column("kind", String(8), nullable=False, default="ban", server_default="ban"),
    Column("watch", Boolean, nullable=False, default=False, server_default=false()),
    Column("newcomers", String(8), nullable=False, default="hold", server_default="hold"),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("lifted_at", UtcDateTime),
    Index(None, "stream_id"),
)

# Keyed hashes of an address, of the network around it, and of a browser. They go 30 days after their ban has ended.
chat_ban_marks = Table(
    "chat_ban_marks",
    metadata,
    Column("ban_id", Integer, ForeignKey("chat_bans.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("mark", String(72), primary_key=True),
)

# What makes the key of an epoch, together with the server's secret. It goes with the last mark of the epoch.
chat_identity_salts = Table(
    "chat_identity_salts",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("salt", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# Policy lists (rooms of Matrix) that count in one chat, or without a stream in all of them.
chat_policies = Table(
    "chat_policies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE")),
    Column("room", String(255), nullable=False),
    Column("room_id", String(255), nullable=False, default="", server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "stream_id"),
)

# The rules as they were last seen, so that they count while the homeserver is away.
chat_policy_rules = Table(
    "chat_policy_rules",
    metadata,
    Column("room_id", String(255), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("state_key", String(255), primary_key=True),
    Column("entity", Text, nullable=False),
    Column("reason", Text, nullable=False, default="", server_default=""),
)
