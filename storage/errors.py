"""What the database may refuse, in words that do not depend on the engine."""

from __future__ import annotations

from homeserver.errors import HearthError, InvalidParam


class StorageError(HearthError):
    """The database refused a statement."""


class ConstraintViolated(StorageError):
    """A row would break a UNIQUE, NOT NULL or CHECK constraint."""


class DatabaseUnavailable(StorageError):
    """The database cannot be reached, or went away before it confirmed.

    Whether a write that fails with this has been committed is unknown: forget what you have in memory and
    read again.
    """


class DatabaseClosed(StorageError):
    """The server is shutting down and takes no more work."""


class SchemaMismatch(StorageError):
    """The database was made by a newer version of Hearth."""


class ReadOnly(StorageError):
    """A write was asked of a read-only transaction."""


class PositionsMoved(StorageError):
    """Somebody else has advanced the log since we last looked; the batch runs again from where it is now."""


class UnstorableText(InvalidParam):
    """Text that the database cannot hold. Whoever sent it is told: nobody else can have done wrong."""


class NeedsSnapshot(BaseException):
    """A read turned out to have several statements: it runs again, in a snapshot. Nobody else catches this."""
