"""Keeps modes in step with the account data that they are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from homeserver.ids import UserID
from homeserver.presence.modes import PRESENCE, Mode
from homeserver.presence.presence import Presence
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import account_data
from storage.database import Database


class ModeFollowing:
    """Follows the log: whoever wrote the account data, and in whichever process."""

    def __init__(self, db: Database, notifier: Notifier, tasks: Tasks, presence: Presence) -> None:
        self._db = db
        self._tasks = tasks
        self._presence = presence
        notifier.subscribe(self._entries_committed)

    async def start(self) -> None:
        for user_id, content in (await self._db.read(account_data.list_presence)).items():
            self._presence.set_mode(user_id, _parse(content))

    def _entries_committed(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is not LogKind.ACCOUNT_DATA or entry.ref != PRESENCE or entry.user_id is None:
                continue
            user_id = UserID(entry.user_id)
            if isinstance(entry.payload, bytes):
                self._presence.set_mode(user_id, _parse(entry.payload))
            else:
                self._tasks.spawn(f"look how {user_id} wants to be shown", self._load(user_id))

    async def _load(self, user_id: UserID) -> None:
        content = await self._db.read(account_data.find, user_id, None, PRESENCE)
        self._presence.set_mode(user_id, None if content is None else _parse(content))


def _parse(content: bytes) -> Mode | None:
    # Clients may write anything there.
    value = msgspec.json.decode(content)
    return Mode.find(value.get("mode")) if isinstance(value, dict) else None
