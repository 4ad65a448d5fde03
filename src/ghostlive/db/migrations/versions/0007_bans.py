"""Bans that hold: of the site or a stream, with marks under keys that rotate; policy lists."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Move the address of each ban to a mark of its own (epoch 0), and add four tables."""
    with op.batch_alter_table("chat_bans") as bans:
        bans.alter_column("stream_id", existing_type=sa.Integer(), nullable=True)
        bans.alter_column("guest_id", existing_type=sa.String(16), existing_nullable=False, server_default="")
        bans.add_column(sa.Column("mxid", sa.Text()))
        bans.add_column(sa.Column("tag", sa.String(16), nullable=False, server_default=""))
        bans.add_column(sa.Column("kind", sa.String(8), nullable=False, server_default="ban"))
        bans.add_column(sa.Column("watch", sa.Boolean(), nullable=False, server_default=sa.false()))
        bans.add_column(sa.Column("newcomers", sa.String(8), nullable=False, server_default="hold"))
    op.create_table(
        "chat_ban_marks",
        sa.Column("ban_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("mark", sa.String(72), nullable=False),
        sa.PrimaryKeyConstraint("ban_id", "kind", "mark", name="pk_chat_ban_marks"),
        sa.ForeignKeyConstraint(["ban_id"], ["chat_bans.id"], name="fk_chat_ban_marks_ban_id", ondelete="CASCADE"),
    )
    op.execute(
        "INSERT INTO chat_ban_marks (ban_id, kind, mark) "
        "SELECT id, 'address', '0.' || address_hash FROM chat_bans WHERE address_hash <> ''"
    )
    with op.batch_alter_table("chat_bans") as bans:
        bans.drop_column("address_hash")
    op.create_table(
        "chat_identity_salts",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name="pk_chat_identity_salts"),
    )
    op.create_table(
        "chat_policies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stream_id", sa.Integer()),
        sa.Column("room", sa.String(255), nullable=False),
        sa.Column("room_id", sa.String(255), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chat_policies"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_chat_policies_stream_id", ondelete="CASCADE"),
    )
    op.create_index("ix_chat_policies_stream_id", "chat_policies", ["stream_id"])
    op.create_table(
        "chat_policy_rules",
        sa.Column("room_id", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("state_key", sa.String(255), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("room_id", "kind", "state_key", name="pk_chat_policy_rules"),
    )


def downgrade() -> None:
    """Drop them; bans of the site and of patterns of Matrix IDs go with them."""
    op.execute("DELETE FROM chat_bans WHERE stream_id IS NULL OR guest_id = ''")
    with op.batch_alter_table("chat_bans") as bans:
        bans.add_column(sa.Column("address_hash", sa.String(64), nullable=False, server_default=""))
        for column in ("newcomers", "watch", "kind", "tag", "mxid"):
            bans.drop_column(column)
        bans.alter_column("stream_id", existing_type=sa.Integer(), nullable=False)
    for table in ("chat_policy_rules", "chat_policies", "chat_identity_salts", "chat_ban_marks"):
        op.drop_table(table)
