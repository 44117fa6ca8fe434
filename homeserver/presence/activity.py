"""What users do shows that they are there: who writes or reads is idle no longer."""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.ids import UserID
from homeserver.presence.presence import Presence
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier

_ACTS = frozenset({LogKind.EVENT, LogKind.RECEIPT})


class PresenceActivity:
    """Tells presence of it. Of users of other servers their servers tell."""

    def __init__(self, presence: Presence, notifier: Notifier) -> None:
        self._presence = presence
        notifier.subscribe(self._entries_committed)
        notifier.subscribe_ephemeral(self._ephemeral)

    def _entries_committed(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind in _ACTS and entry.user_id is not None:
                self._presence.active(UserID(entry.user_id))

    def _ephemeral(self, kind: str, room_id: str | None, user_id: str | None, position: int) -> None:
        if kind == "typing" and user_id is not None:
            self._presence.active(UserID(user_id))
