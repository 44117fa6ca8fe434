"""Account data, receipts and typing beside the rooms of a sliding-sync answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.ids import RoomID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.rules import StoredRules
from homeserver.sync.ephemeral import receipt_event, receipts_after, typing_event
from homeserver.sync.sliding.connections import Marks
from homeserver.sync.sliding.engine import Scope
from storage import account_data as rows
from storage import push_rules
from storage.database import Database
from storage.transaction import Transaction


class AccountDataExtension:
    """The account's data and that of rooms in scope: all of it first, then what has changed."""

    names = ("account_data",)

    def __init__(self, db: Database, rules: StoredRules) -> None:
        self._db = db
        self._rules = rules

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        progress = scope.progress
        before = progress.extensions.get("account_data", -1)
        marks = progress.marks.get("account_data", Marks())
        in_scope = [room for room in scope.rooms(config) if room in progress.rooms]
        progress.extensions["account_data"] = scope.until.position
        progress.marks["account_data"] = marks.moved(in_scope, scope.until.position)
        last = scope.feed.account_data
        # A room that comes back may have missed what was told when it was not in scope.
        since = {
            room: -1 if place is None else place
            for room in in_scope
            if (place := marks.find(room)) is None or place < last
        }
        if 0 <= last <= before and not since:
            return {"global": [], "rooms": {}}, False
        account, rooms = await self._db.read(_changed, scope.feed.user_id, before, since, self._rules)
        return {"global": account, "rooms": rooms}, bool(account or rooms)


def _changed(
    txn: Transaction, user_id: UserID, before: int, since: dict[RoomID, int], rules: StoredRules
) -> tuple[list[dict[str, Any]], dict[RoomID, list[dict[str, Any]]]]:
    account: list[dict[str, Any]] = []
    rooms: dict[RoomID, list[dict[str, Any]]] = {}
    oldest = min([before, *since.values()])
    for row in rows.list_after(txn, user_id, oldest):
        event = {"type": row.type, "content": msgspec.Raw(row.content)}
        if row.room_id is None:
            if row.position > before:
                account.append(event)
        elif row.room_id in since and row.position > since[row.room_id]:
            rooms.setdefault(row.room_id, []).append(event)
    if before < 0 or push_rules.position_of(txn, user_id) > before:
        account.append({"type": "m.push_rules", "content": rules.push_rules_content(txn, user_id)})
    return account, rooms


class ReceiptsExtension:
    """Receipts of rooms in scope: those on the events sent and one's own first, then all new ones."""

    names = ("receipts",)

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        marks = scope.progress.marks.get("receipts", Marks())
        until = scope.until.position
        found: dict[RoomID, dict[str, Any]] = {}
        told: list[RoomID] = []
        is_news = False
        for room_id in scope.rooms(config):
            view = scope.feed.rooms.get(room_id)
            if view is None or view.membership != "join" or room_id not in scope.progress.rooms:
                continue
            told.append(room_id)
            known = marks.find(room_id)
            body = scope.sent_rooms.get(room_id, {})
            is_first = known is None or body.get("initial") is True
            if known is not None and not is_first and view.moved <= known and not _is_expanded(body):
                continue
            room = self._rooms.find(room_id) or await self._rooms.find_or_load(room_id)
            if room is None:
                continue
            after = -1 if is_first or known is None else known
            shown = self._shown(scope, room, body, is_first=is_first)
            receipts = [
                (key, receipt)
                for key, receipt in receipts_after(room, scope.feed.user_id, -1 if shown else after)
                if receipt.position <= until
                and (
                    receipt.event_id in shown
                    or (receipt.position > after and (not is_first or key.user_id == scope.feed.user_id))
                )
            ]
            if receipts:
                found[room_id] = receipt_event(receipts)
                is_news = is_news or not is_first
        scope.progress.marks["receipts"] = marks.moved(told, until)
        return {"rooms": found}, is_news

    @staticmethod
    def _shown(scope: Scope, room: LiveRoom, body: Mapping[str, Any], *, is_first: bool) -> set[str]:
        """The events whose receipts the client has never been told of: they have just been sent, or were before."""
        if body.get("initial") is True or _is_expanded(body):
            return {_event_id(event) for event in body.get("timeline", [])}
        if not is_first:
            return set()
        start = scope.progress.rooms[room.room_id].start
        return {entry.event.event_id for entry in room.timeline if entry.position > start}


def _is_expanded(body: Mapping[str, Any]) -> bool:
    return "expanded_timeline" in body or "unstable_expanded_timeline" in body


def _event_id(event: Any) -> str:
    return str(msgspec.json.decode(bytes(event))["event_id"])


class TypingExtension:
    """Who is typing in the rooms in scope."""

    names = ("typing", "org.matrix.msc4508.typing")

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        marks = scope.progress.marks.get("typing", Marks())
        found: dict[RoomID, dict[str, Any]] = {}
        told: list[RoomID] = []
        is_news = False
        for room_id in scope.rooms(config):
            view = scope.feed.rooms.get(room_id)
            if view is None or view.membership != "join":
                continue
            told.append(room_id)
            room = self._rooms.find(room_id)
            if room is None:
                # Nobody types in a room that is not in memory.
                continue
            known = marks.find(room_id)
            if known is None or scope.sent_rooms.get(room_id, {}).get("initial") is True:
                if room.typing:
                    found[room_id] = typing_event(room)
            elif room.typing_position > known:
                found[room_id] = typing_event(room)
                is_news = True
        scope.progress.marks["typing"] = marks.moved(told, scope.until.ephemeral)
        return {"rooms": found}, is_news
