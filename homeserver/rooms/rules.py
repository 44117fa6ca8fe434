"""Push rules where rooms need them: compiled, in memory, and following every change."""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.events.push_rules import DEFAULTS, CompiledRules, compile_rules
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from homeserver.users import push_rules
from storage import push_rules as rule_rows
from storage.database import Database
from storage.transaction import Transaction


class StoredRules:
    """Compiles the rules of a user from what is stored; equal rules are compiled once."""

    def compiled_rules(self, txn: Transaction, user_id: UserID) -> CompiledRules:
        changes = rule_rows.find(txn, user_id)
        return DEFAULTS if changes is None else compile_rules(push_rules.merge(user_id, changes))

    def push_rules_content(self, txn: Transaction, user_id: UserID) -> dict[str, object]:
        """The content of `m.push_rules`."""
        return {"global": push_rules.merge(user_id, rule_rows.find(txn, user_id))}


class RulesInRooms:
    """Keeps the rules that live rooms evaluate up to date: of users who change theirs, and of those who come in."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        rules: StoredRules,
        notifier: Notifier,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._rules = rules
        self._tasks = tasks
        self._server_name = server_name
        notifier.subscribe(self._on_entries)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.PUSH_RULES and entry.payload is not None:
                self._changed(UserID(entry.user_id or ""), compile_rules(entry.payload))
            elif entry.kind is LogKind.EVENT and isinstance(entry.payload, TimelineEvent):
                event = entry.payload.event
                if event.type == "m.room.member" and event.content.get("membership") in ("join", "invite"):
                    self._came(event.room_id, UserID(event.state_key or ""))

    def _changed(self, user_id: UserID, rules: CompiledRules) -> None:
        def visit(room: LiveRoom) -> None:
            if user_id in room.rules:
                room.set_rules(user_id, rules)

        self._rooms.each(visit)

    def _came(self, room_id: RoomID, user_id: UserID) -> None:
        room = self._rooms.find(room_id)
        if room is None or user_id in room.rules or domain_of(user_id) != self._server_name:
            return
        self._tasks.spawn(f"push rules of {user_id}", self._load(room, user_id))

    async def _load(self, room: LiveRoom, user_id: UserID) -> None:
        rules = await self._db.read(self._rules.compiled_rules, user_id)
        if user_id not in room.rules:
            room.set_rules(user_id, rules)
