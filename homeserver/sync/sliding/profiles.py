"""Profiles of those who share a room, beside the rooms of a sliding-sync answer (MSC4262).

When a room comes into scope, the fields that were asked for are told of its members (with lazy members, of those who
are sent); from then on every change is told, wherever a room is shared. Who shares no room any more is told as null.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import msgspec

from homeserver.e2ee.device_lists import Changes
from homeserver.errors import InvalidParam
from homeserver.ids import RoomID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.sync.feeds import Feed
from homeserver.sync.sliding.connections import Marks
from homeserver.sync.sliding.engine import Scope
from storage import profiles as rows
from storage.database import Database
from storage.transaction import Transaction

NAME = "org.matrix.msc4262.profiles"
EVERY_FIELD = "*"
SHOWN_IN_ROOMS = ("displayname", "avatar_url")
MAX_FIELDS = 100
CHANGES_KEPT = 20_000

Circle = Callable[[Feed, int, int], Awaitable[Changes | None]]
"""Who has come into, and gone out of, the company of a feed's user between two places."""


class ProfilesExtension:
    """Tells profiles, and remembers lately changed ones."""

    names = (NAME,)

    def __init__(self, db: Database, rooms: Rooms, notifier: Notifier, circle: Circle) -> None:
        self._db = db
        self._rooms = rooms
        self._circle = circle
        self._changes: deque[tuple[int, UserID, str]] = deque()
        # Nothing is known of what came before this place; connections do not reach further back either.
        self._floor = notifier.position
        notifier.subscribe(self._on_entries)

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        progress, until = scope.progress, scope.until.position
        wanted = _fields(config)
        before = progress.extensions.get(NAME)
        if before is not None and before < self._floor:
            before = None
        progress.extensions[NAME] = until
        told: dict[UserID, set[str]] = {}
        joined = [room for room in scope.rooms(config) if self._is_joined(scope.feed, room)]
        for field in wanted or (EVERY_FIELD,):
            mark = f"{NAME} {field}"
            marks = progress.marks.get(mark, Marks()) if before is not None else Marks()
            for room_id in joined:
                is_new = marks.find(room_id) is None
                for user_id in await self._shown(scope, room_id, is_new=is_new):
                    told.setdefault(user_id, set()).add(field)
            progress.marks[mark] = marks.moved(joined, until)
        changed: dict[UserID, set[str]] = {}
        gone: Collection[UserID] = ()
        if before is not None:
            changed = await self._changed(scope.feed, before, until, wanted)
            circle = await self._circle(scope.feed, before, until)
            gone = () if circle is None else circle.left
        users: dict[str, Any] = await self._db.read(_updates, told, changed)
        users |= await self._abroad(scope.feed, told.keys() - users.keys(), wanted)
        users |= dict.fromkeys(gone)
        return {"users": users}, before is not None and bool(users)

    @staticmethod
    def _is_joined(feed: Feed, room_id: RoomID) -> bool:
        view = feed.rooms.get(room_id)
        return view is not None and view.membership == "join"

    async def _shown(self, scope: Scope, room_id: RoomID, *, is_new: bool) -> Collection[UserID]:
        """Whose profiles go with a room in this answer."""
        if scope.chosen.configs[room_id].selector.lazy_members:
            # Members are sent once: whoever is among them has not been told of.
            state = scope.sent_rooms.get(room_id, {}).get("required_state", ())
            return {
                UserID(event["state_key"])
                for event in state
                if event["type"] == "m.room.member"
                and event.get("content", {}).get("membership") in ("join", "invite")
            }
        room = await self._room(room_id) if is_new else None
        return () if room is None else room.joined

    async def _changed(
        self, feed: Feed, after: int, until: int, wanted: Sequence[str] | None
    ) -> dict[UserID, set[str]]:
        """The fields that have changed of the user themselves and of those in their rooms."""
        found: dict[UserID, set[str]] = {}
        for position, user_id, field in reversed(self._changes):
            if position <= after:
                break
            if position <= until and (wanted is None or field in wanted):
                found.setdefault(user_id, set()).add(field)
        return {user: fields for user, fields in found.items() if await self._shares(feed, user)}

    async def _shares(self, feed: Feed, user_id: UserID) -> bool:
        if user_id == feed.user_id:
            return True
        for room_id in feed.joined_rooms():
            room = await self._room(room_id)
            if room is not None and room.is_joined(user_id):
                return True
        return False

    async def _abroad(
        self, feed: Feed, users: Collection[UserID], wanted: Sequence[str] | None
    ) -> dict[str, Any]:
        """What rooms say of the profiles that are kept elsewhere."""
        found: dict[str, Any] = {}
        for room_id in feed.joined_rooms() if users else ():
            room = self._rooms.find(room_id)
            for user_id in users if room is not None else ():
                content = {} if room is None else room.content("m.room.member", user_id)
                shown = {
                    field: content[field]
                    for field in SHOWN_IN_ROOMS
                    if isinstance(content.get(field), str) and (wanted is None or field in wanted)
                }
                if shown:
                    found[user_id] = {"updated": shown}
        return found

    async def _room(self, room_id: RoomID) -> LiveRoom | None:
        return self._rooms.find(room_id) or await self._rooms.find_or_load(room_id)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.PROFILE and entry.user_id is not None:
                self._changes.append((entry.position, UserID(entry.user_id), entry.ref))
        while len(self._changes) > CHANGES_KEPT:
            self._floor, _, _ = self._changes.popleft()


def _fields(config: dict[str, Any]) -> list[str] | None:
    """The fields that are asked for; None for all."""
    fields = config.get("fields")
    if fields is None:
        return None
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise InvalidParam(f"{NAME}: fields must be a list of names")
    if len(fields) > MAX_FIELDS:
        raise InvalidParam(f"{NAME}: at most {MAX_FIELDS} fields may be asked for")
    return sorted(set(fields))


def _updates(
    txn: Transaction, told: dict[UserID, set[str]], changed: dict[UserID, set[str]]
) -> dict[str, dict[str, Any]]:
    """The profiles to tell: of those who are new all that they have, of others what is new and what is gone."""
    found: dict[str, dict[str, Any]] = {}
    for user_id in {*told, *changed}:
        profile = rows.list_fields(txn, user_id)
        new = told.get(user_id, set()) | changed.get(user_id, set())
        updated = {
            field: msgspec.Raw(value)
            for field, value in profile.items()
            if EVERY_FIELD in new or field in new
        }
        removed = sorted(changed.get(user_id, set()) - profile.keys())
        update: dict[str, Any] = {"updated": updated} if updated else {}
        if removed:
            update["removed"] = removed
        if update:
            found[user_id] = update
    return found
