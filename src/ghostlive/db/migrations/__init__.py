"""Changes of the schema, one file each under `versions`, named by their revision: `0002_what_changes.py`.

A released file never changes. `env.py` is what Alembic runs; `ghostlive.db.migrate` decides when.
"""
