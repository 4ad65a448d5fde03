"""The database: SQLAlchemy Core tables, migrations, and one repository per group of tables.

`engine.Database` opens (and migrates) it; repositories take it and are given to those who need them.
"""
