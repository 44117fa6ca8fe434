"""The follower of the log that keeps the search index and the directory of users.

It waits a moment before it looks, so that what comes quickly is written together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from homeserver.events.event import Event
from homeserver.ids import ServerName, UserID, domain_of
from homeserver.rooms.log_tail import LogTail
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.words import fold, words_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind
from homeserver.runtime.tasks import Tasks
from storage import events as event_rows
from storage import followers, profiles
from storage import search as search_rows
from storage import user_directory as directory_rows
from storage.database import Database
from storage.search import Searchable
from storage.transaction import Transaction

FOLLOWER = "search"
GATHER_S = 0.5
KEYS = {
    "m.room.message": (1, "body"),
    "m.room.name": (2, "name"),
    "m.room.topic": (3, "topic"),
}
"""The types of events that are indexed: the number of the key, and what it is called in the content."""


class SearchIndex:
    """Follows the log from its beginning."""

    def __init__(
        self, db: Database, tail: LogTail, clock: Clock, tasks: Tasks, *, server_name: ServerName
    ) -> None:
        self._db = db
        self._tail = tail
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        self._running = self._tasks.spawn("the search index", self._run())

    def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _run(self) -> None:
        place = await self._db.read(followers.load_place, FOLLOWER)
        while True:
            entries = await self._tail.after(place)
            if not entries:
                await self._tail.wait_past(place)
                await self._clock.sleep(GATHER_S)
                continue
            place = entries[-1].position
            found = [entry for entry in entries if _concerns(entry)]
            await self._db.run(_take, found, place, self._server_name)


def _concerns(entry: LogEntry) -> bool:
    if entry.kind is LogKind.PROFILE:
        return True
    if entry.kind is not LogKind.EVENT or not isinstance(entry.payload, TimelineEvent):
        return False
    kind = entry.payload.event.type
    return kind in KEYS or kind in _TAKEN


def _take(txn: Transaction, entries: Sequence[LogEntry], place: int, server_name: ServerName) -> None:
    searchable = []
    for entry in entries:
        if entry.kind is LogKind.PROFILE:
            _take_profile(txn, UserID(entry.user_id or ""), server_name)
        elif isinstance(entry.payload, TimelineEvent) and not entry.payload.flags & event_rows.HIDDEN:
            event = entry.payload.event
            if event.type not in KEYS:
                _TAKEN[event.type](txn, event, server_name)
            elif (found := _searchable(entry.payload, entry.position)) is not None:
                searchable.append(found)
    # All at once: a statement for each would cost more than sending the message did.
    search_rows.index(txn, searchable)
    followers.save_place(txn, FOLLOWER, place)


def _searchable(entry: TimelineEvent, position: int) -> Searchable | None:
    key, name = KEYS[entry.event.type]
    text = entry.event.content.get(name)
    words = words_of(text) if isinstance(text, str) else []
    return Searchable(entry.number, position, entry.event.room_id, key, " ".join(words)) if words else None


def _take_redaction(txn: Transaction, event: Event, _server_name: ServerName) -> None:
    target = None if event.redacts is None else event_rows.find(txn, event.redacts)
    if target is not None and target.redacted_by is not None:
        search_rows.forget(txn, target.number)


def _take_member(txn: Transaction, event: Event, server_name: ServerName) -> None:
    """Somebody has come into a room, or is called otherwise there: of remote users nothing else is known."""
    user_id = UserID(event.state_key or "")
    if event.content.get("membership") != "join":
        return
    if domain_of(user_id) == server_name:
        _take_profile(txn, user_id, server_name)
    else:
        _save(txn, user_id, event.content.get("displayname"), event.content.get("avatar_url"), local=False)


def _take_profile(txn: Transaction, user_id: UserID, server_name: ServerName) -> None:
    if domain_of(user_id) != server_name:
        return
    fields = {key: msgspec.json.decode(value) for key, value in profiles.list_fields(txn, user_id).items()}
    _save(txn, user_id, fields.get("displayname"), fields.get("avatar_url"), local=True)


def _save(txn: Transaction, user_id: UserID, name: Any, avatar: Any, *, local: bool) -> None:
    display_name = name.replace("\0", "") if isinstance(name, str) and name else None
    avatar_url = avatar.replace("\0", "") if isinstance(avatar, str) and avatar else None
    words = fold(f"{user_id} {display_name or ''}")
    directory_rows.save(txn, user_id, display_name, avatar_url, words=words, local=local)


def _take_openness(txn: Transaction, event: Event, _server_name: ServerName) -> None:
    """A room has become open to all, or no longer is; what is judged is what stands now."""
    rule = directory_rows.newest_content(txn, event.room_id, "m.room.join_rules")
    visibility = directory_rows.newest_content(txn, event.room_id, "m.room.history_visibility")
    is_open = rule.get("join_rule") == "public" or visibility.get("history_visibility") == "world_readable"
    directory_rows.set_open(txn, event.room_id, is_open=is_open)


_TAKEN = {
    "m.room.redaction": _take_redaction,
    "m.room.member": _take_member,
    "m.room.join_rules": _take_openness,
    "m.room.history_visibility": _take_openness,
}
