"""Errors of the database.

DatabaseError
├── DatabaseUnusableError   it cannot be opened: no rights, no driver, no server, not a database
├── NewerDatabaseError      a newer Ghost Live has changed it
├── AlreadyExistsError      a record of that name is there
└── NotFoundError           a record of that name is not there
"""

from ghostlive.core.errors import GhostliveError


class DatabaseError(GhostliveError):
    """Base of what can go wrong with records."""


class DatabaseUnusableError(DatabaseError):
    """The database cannot be opened; the text says why and what to do."""


class NewerDatabaseError(DatabaseError):
    """The database has a revision that this version does not know."""


class AlreadyExistsError(DatabaseError):
    """A record of that name is there already."""


class NotFoundError(DatabaseError):
    """No record of that name."""
