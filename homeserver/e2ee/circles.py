"""Where memberships have moved lately, in memory, so that most looks at the circle of a user need no database."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from homeserver.ids import RoomID
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier

MOVES_KEPT = 20_000


class _Event(Protocol):
    @property
    def type(self) -> str: ...


class _Announced(Protocol):
    """The payload of an EVENT entry, as far as it matters here."""

    @property
    def event(self) -> _Event: ...


class MembershipMoves:
    """The rooms in which anybody came or went, by log position, as far back as this process remembers."""

    def __init__(self, notifier: Notifier, *, moves_kept: int = MOVES_KEPT) -> None:
        self._moves: deque[tuple[int, RoomID]] = deque()
        self._moves_kept = moves_kept
        # Nothing is known of what came before this position.
        self._floor = notifier.position
        notifier.subscribe(self._on_entries)

    def has_moved(self, position: int) -> bool:
        """Whether anybody may have come or gone after `position`, wherever."""
        return position < self._floor or (bool(self._moves) and self._moves[-1][0] > position)

    def since(self, position: int) -> set[RoomID] | None:
        """The rooms that moved after `position`; None if that is longer ago than anybody remembers."""
        if position < self._floor:
            return None
        rooms: set[RoomID] = set()
        for at, room in reversed(self._moves):
            if at <= position:
                break
            rooms.add(room)
        return rooms

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.room_id is not None and (
                entry.kind is LogKind.ROOM_STATE or (entry.kind is LogKind.EVENT and _may_be_member(entry))
            ):
                self._moves.append((entry.position, RoomID(entry.room_id)))
        while len(self._moves) > self._moves_kept:
            self._floor, _ = self._moves.popleft()


def _may_be_member(entry: LogEntry) -> bool:
    announced: _Announced | None = entry.payload
    return announced is None or announced.event.type == "m.room.member"
