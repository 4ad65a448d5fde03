"""What Alembic runs for each command: on the connection (and inside the transaction) that `migrate` hands over."""

from alembic import context

from ghostlive.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column by copying its table
)
context.run_migrations()
