"""Account data, receipts and typing beside the rooms of a sliding-sync answer."""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.ids import RoomID, UserID
from homeserver.rooms.registry import Rooms
from homeserver.rooms.rules import StoredRules
from homeserver.sync.ephemeral import receipt_event, receipts_after, typing_event
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
        in_scope = [room for room in scope.rooms(config) if room in progress.rooms]
        new_rooms = [room for room in in_scope if room not in progress.account_data]
        if before >= 0 and scope.feed.account_data <= before and not new_rooms:
            return {"global": [], "rooms": {}}, False
        since = dict.fromkeys(in_scope, -1) | {
            room: progress.account_data[room] for room in in_scope if room in progress.account_data
        }
        account, rooms = await self._db.read(_changed, scope.feed.user_id, before, since, self._rules)
        progress.extensions["account_data"] = scope.until.position
        for room in in_scope:
            progress.account_data[room] = scope.until.position
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
        found: dict[RoomID, dict[str, Any]] = {}
        is_news = False
        for room_id in scope.rooms(config):
            view = scope.feed.rooms.get(room_id)
            room = self._rooms.find(room_id)
            if room is None or view is None or view.membership != "join":
                continue
            known = scope.progress.receipts.get(room_id)
            body = scope.sent_rooms.get(room_id, {})
            if known is None or body.get("initial") is True:
                if room_id not in scope.progress.rooms:
                    continue
                shown = {_event_id(event) for event in body.get("timeline", [])}
                receipts = [
                    (key, receipt)
                    for key, receipt in receipts_after(room, scope.feed.user_id, -1)
                    if key.user_id == scope.feed.user_id or receipt.event_id in shown
                ]
            else:
                receipts = receipts_after(room, scope.feed.user_id, known)
                is_news = is_news or bool(receipts)
            scope.progress.receipts[room_id] = max(scope.until.position, room.receipts_position)
            if receipts:
                found[room_id] = receipt_event(receipts)
        return {"rooms": found}, is_news


def _event_id(event: Any) -> str:
    return str(msgspec.json.decode(bytes(event))["event_id"])


class TypingExtension:
    """Who is typing in the rooms in scope."""

    names = ("typing", "org.matrix.msc4508.typing")

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        before = scope.progress.extensions.get("typing")
        found: dict[RoomID, dict[str, Any]] = {}
        is_news = False
        for room_id in scope.rooms(config):
            view = scope.feed.rooms.get(room_id)
            room = self._rooms.find(room_id)
            if room is None or view is None or view.membership != "join":
                continue
            is_new = before is None or scope.sent_rooms.get(room_id, {}).get("initial") is True
            if is_new and room.typing:
                found[room_id] = typing_event(room)
            elif before is not None and room.typing_position > before:
                found[room_id] = typing_event(room)
                is_news = True
        scope.progress.extensions["typing"] = scope.until.ephemeral
        return {"rooms": found}, is_news
