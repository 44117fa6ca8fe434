"""Other servers hear of the presence of local users: of every change, and of those whom a join brings together.

As for local users, only small rooms count: in larger ones it would cost more than all messages, and tell strangers.
Spec: https://spec.matrix.org/v1.19/server-server-api/#presence
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from federation.outbound.sender import FederationSender
from federation.wire.edus import UserPresence
from homeserver.app.surroundings import Surroundings
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.presence.presence import Presence
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.runtime.notifier import LogEntry, LogKind
from homeserver.sync.presence_section import SMALL_ROOM_MEMBERS
from storage import membership as membership_rows
from storage.transaction import Transaction


class PresenceAbroad:
    """Follows the presence of local users, and the joins."""

    def __init__(
        self,
        surroundings: Surroundings,
        rooms: Rooms,
        presence: Presence,
        sender: FederationSender,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = surroundings.database
        self._clock = surroundings.clock
        self._tasks = surroundings.tasks
        self._rooms = rooms
        self._presence = presence
        self._sender = sender
        self._server_name = server_name
        self._is_stopped = False
        presence.subscribe(lambda user_id, _: self._changed(user_id))
        surroundings.notifier.subscribe(self._on_entries)

    def stop(self) -> None:
        """Users who fall idle from now on are nobody's news."""
        self._is_stopped = True

    def _changed(self, user_id: UserID) -> None:
        if self._is_stopped:
            return
        self._tasks.spawn(f"tell others of the presence of {user_id}", self._tell_all(user_id))

    async def _tell_all(self, user_id: UserID) -> None:
        servers: set[ServerName] = set()
        for room_id in await self._db.read(_joined_rooms, user_id):
            room = self._rooms.find(room_id)
            if room is not None:
                servers.update(_servers_of(room))
            else:
                # Not in memory, and not worth loading for this.
                servers.update(await self._db.read(_servers_of_small, room_id))
        self._tell([user_id], servers)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is not LogKind.EVENT or entry.payload is None:
                continue
            event, replaced = entry.payload.event, entry.payload.replaced
            if event.type != "m.room.member" or event.content.get("membership") != "join":
                continue
            if replaced is not None and replaced.content.get("membership") == "join":
                continue
            room = self._rooms.find(event.room_id)
            if room is not None:
                self._introduce(room, UserID(event.state_key))

    def _introduce(self, room: LiveRoom, user_id: UserID) -> None:
        server = domain_of(user_id)
        if server == self._server_name:
            self._tell([user_id], _servers_of(room))
        elif room.joined_servers[server] == 1 and len(room.joined) <= SMALL_ROOM_MEMBERS:
            self._tell(room.local_joined, [server])

    def _tell(self, users: Iterable[UserID], servers: Collection[ServerName]) -> None:
        if not any(server != self._server_name for server in servers):
            return
        for user_id in users:
            state = self._presence.find(user_id)
            if state is None:
                continue
            ago_ms = max(0, self._clock.now_ms() - state.last_active_ms) if state.last_active_ms else None
            self._sender.presence_changed(
                UserPresence(user_id, state.presence, ago_ms, state.currently_active, state.status_msg),
                servers,
            )


def _servers_of(room: LiveRoom) -> set[ServerName]:
    if len(room.joined) > SMALL_ROOM_MEMBERS:
        return set()
    return set(room.joined_servers) | set(room.partial_servers)


def _servers_of_small(txn: Transaction, room_id: RoomID) -> set[ServerName]:
    joined = membership_rows.some_joined(txn, room_id, SMALL_ROOM_MEMBERS + 1)
    return {domain_of(user) for user in joined} if len(joined) <= SMALL_ROOM_MEMBERS else set()


def _joined_rooms(txn: Transaction, user_id: UserID) -> list[RoomID]:
    return [one.room_id for one in membership_rows.list_of_user(txn, user_id) if one.membership == "join"]
