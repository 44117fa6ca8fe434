"""Filters that clients upload once and name afterwards.

Spec: https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.errors import NotFound, TooLarge
from homeserver.events.filters import check_filter
from homeserver.ids import UserID
from storage import filters as rows
from storage.database import Database

MAX_BYTES = 64 * 1024


class Filters:
    """Keeps filters."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, user_id: UserID, definition: Mapping[str, Any]) -> str:
        """Keep a filter; its ID, which is the old one if the user has uploaded the same before.

        Raises:
            BadJson: it is no filter.
            TooLarge: it is one, but too long.
        """
        check_filter(definition)
        encoded = msgspec.json.encode(definition)
        if len(encoded) > MAX_BYTES:
            raise TooLarge(f"a filter has at most {MAX_BYTES} bytes")
        return str(await self._db.run(rows.add, user_id, encoded))

    async def load(self, user_id: UserID, filter_id: str) -> bytes:
        """The filter, as JSON.

        Raises:
            NotFound: the user has no such filter.
        """
        definition = None
        if filter_id.isascii() and filter_id.isdigit() and len(filter_id) < 16:
            definition = await self._db.read(rows.find, user_id, int(filter_id))
        if definition is None:
            raise NotFound(f"no filter {filter_id!r}")
        return definition
