"""The bridge to Matrix: rooms, what waits for the homeserver, ghosts, people, links."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add seven tables."""
    op.create_table(
        "matrix_rooms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stream_id", sa.Integer()),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("room_id", sa.String(255)),
        sa.Column("version", sa.String(32), nullable=False, server_default=""),
        sa.Column("state", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("cursor", _BIG, nullable=False, server_default="0"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_matrix_rooms"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_matrix_rooms_stream_id", ondelete="SET NULL"),
        sa.UniqueConstraint("stream_id", name="uq_matrix_rooms_stream_id"),
        sa.UniqueConstraint("room_id", name="uq_matrix_rooms_room_id"),
    )
    op.create_table(
        "matrix_pending",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("seq", _BIG, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_matrix_pending"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_matrix_pending_stream_id", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_matrix_pending_stream_id_seq", "matrix_pending", ["stream_id", "seq"])
    op.create_table(
        "matrix_ghosts",
        sa.Column("room", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("membership", sa.String(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("room", "author", name="pk_matrix_ghosts"),
        sa.ForeignKeyConstraint(["room"], ["matrix_rooms.id"], name="fk_matrix_ghosts_room", ondelete="CASCADE"),
    )
    op.create_index("ix_matrix_ghosts_author", "matrix_ghosts", ["author"])
    op.create_table(
        "matrix_transactions",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_matrix_transactions"),
    )
    op.create_index("ix_matrix_transactions_seen_at", "matrix_transactions", ["seen_at"])
    op.create_table(
        "matrix_people",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("mxid", sa.String(255), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("avatar", sa.Text()),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_matrix_people"),
        sa.UniqueConstraint("mxid", name="uq_matrix_people_mxid"),
    )
    op.create_table(
        "matrix_links",
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("mxid", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("author", name="pk_matrix_links"),
    )
    op.create_index("ix_matrix_links_mxid", "matrix_links", ["mxid"])
    op.create_table(
        "matrix_codes",
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("author", sa.String(16), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name="pk_matrix_codes"),
        sa.UniqueConstraint("author", name="uq_matrix_codes_author"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("codes", "links", "people", "transactions", "ghosts", "pending", "rooms"):
        op.drop_table(f"matrix_{table}")
