"""What a user's clients keep on the server, as `/sync` shows it: account data, push rules, and whom they ignore.

Spec: https://spec.matrix.org/v1.19/client-server-api/#ignoring-users
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from homeserver.ids import RoomID, UserID, is_user_id
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.sync.request import SyncRequest
from storage import account_data as rows
from storage import push_rules
from storage.database import Database
from storage.transaction import Transaction

REMEMBERED = 10_000
IGNORED = "m.ignored_user_list"


class RuleBook(Protocol):
    """Where `m.push_rules` comes from."""

    def push_rules_content(self, txn: Transaction, user_id: UserID) -> dict[str, Any]: ...


class StoredOwnData:
    """Reads account data, and remembers the users whom each user ignores."""

    def __init__(self, db: Database, notifier: Notifier, rules: RuleBook) -> None:
        self._db = db
        self._rules = rules
        self._ignored: OrderedDict[UserID, frozenset[UserID]] = OrderedDict()
        # Moves with every change of a list: what was read while one changed is not remembered.
        self._generation = 0
        notifier.subscribe(self._on_entries)

    def ignored(self, user_id: UserID) -> frozenset[UserID] | None:
        """Whom the user ignores; None if that has to be loaded."""
        return self._ignored.get(user_id)

    async def load_ignored(self, user_id: UserID) -> frozenset[UserID]:
        known = self._ignored.get(user_id)
        if known is not None:
            return known
        generation = self._generation
        content = await self._db.read(rows.find, user_id, None, IGNORED)
        ignored = _ignored_users(content)
        if generation == self._generation:
            self._ignored[user_id] = ignored
            while len(self._ignored) > REMEMBERED:
                self._ignored.popitem(last=False)
        return ignored

    async def account_data(self, request: SyncRequest) -> tuple[list[bytes], dict[RoomID, list[bytes]]]:
        """The events of the account, and those of each room, that are new to the request."""
        since = -1 if request.since is None or request.full_state else request.since.position
        found, rules = await self._db.read(_changed, request.user_id, since, self._rules)
        account: list[bytes] = []
        by_room: dict[RoomID, list[bytes]] = {}
        wanted = request.filter
        for row in found:
            event = b'{"type":%b,"content":%b}' % (msgspec.json.encode(row.type), row.content)
            if row.room_id is None:
                if row.type != "m.push_rules" and wanted.account_data.includes_type(row.type):
                    account.append(event)
            elif wanted.room.account_data.includes_type(row.type):
                by_room.setdefault(row.room_id, []).append(event)
        if rules is not None and wanted.account_data.includes_type("m.push_rules"):
            account.append(msgspec.json.encode({"type": "m.push_rules", "content": rules}))
        return account, by_room

    async def of_new_rooms(
        self, request: SyncRequest, room_ids: Sequence[RoomID]
    ) -> dict[RoomID, list[bytes]]:
        """All that the user keeps for rooms that the client hears of for the first time."""
        found = await self._db.read(_of_rooms, request.user_id, room_ids)
        wanted = request.filter.room.account_data
        return {
            room_id: [
                b'{"type":%b,"content":%b}' % (msgspec.json.encode(kind), content)
                for kind, content in kept.items()
                if wanted.includes_type(kind)
            ]
            for room_id, kept in found.items()
        }

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.ACCOUNT_DATA and entry.ref == IGNORED:
                self._generation += 1
                self._ignored.pop(UserID(entry.user_id or ""), None)


def _of_rooms(
    txn: Transaction, user_id: UserID, room_ids: Sequence[RoomID]
) -> dict[RoomID, dict[str, bytes]]:
    return {room_id: rows.list_of_room(txn, user_id, room_id) for room_id in room_ids}


def _ignored_users(content: bytes | None) -> frozenset[UserID]:
    if content is None:
        return frozenset()
    users = msgspec.json.decode(content).get("ignored_users")
    return (
        frozenset(UserID(user) for user in users if is_user_id(user))
        if isinstance(users, dict)
        else frozenset()
    )


def _changed(
    txn: Transaction, user_id: UserID, since: int, rules: RuleBook
) -> tuple[list[rows.AccountData], dict[str, Any] | None]:
    found = rows.list_after(txn, user_id, since)
    position = push_rules.position_of(txn, user_id)
    changed = since < 0 or position > since
    return found, rules.push_rules_content(txn, user_id) if changed else None
