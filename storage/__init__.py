"""Everything durable: two engines behind one door, one log, and queries as functions over a transaction."""

from __future__ import annotations

from storage.opening import open_database, open_postgres, open_sqlite

__all__ = ["open_database", "open_postgres", "open_sqlite"]
