"""Settings of the database."""

from dataclasses import dataclass

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where records are kept."""

    url: str = setting(
        "",
        "Address of the database: empty for SQLite in the data directory, or `postgresql://user:password@host/name` "
        "(needs `pip install 'ghostlive[postgresql]'`).",
        secret=True,
    )
