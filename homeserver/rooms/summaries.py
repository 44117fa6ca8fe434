"""What somebody outside a room may learn of it before they come in: its summary, if they could come in or look.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from federation.wire.answers import Hierarchy
from homeserver.errors import NotFound, RemoteError
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.rooms.directory import public_room
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import Memberships
from homeserver.rooms.registry import Rooms

_log = structlog.get_logger(__name__)

OPEN_RULES = frozenset({"public", "knock", "knock_restricted"})
"""Join rules by which anybody may come in, or ask to."""
MAX_SERVERS_ASKED = 3


class RemoteSpaces(Protocol):
    """Asks other servers about rooms that this one is not in."""

    async def get_space_hierarchy(
        self, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> Hierarchy: ...


class NoRemoteSpaces:
    """A server without others."""

    async def get_space_hierarchy(
        self, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> Hierarchy:
        """Nobody can be asked.

        Raises:
            RemoteError: always.
        """
        raise RemoteError(f"{server} cannot be asked about {room_id}")


def allowed_rooms(room: LiveRoom) -> list[str]:
    """The rooms whose members the join rule lets in."""
    if room.join_rule not in room.version.restricted_join_rules:
        return []
    allow = room.content("m.room.join_rules").get("allow")
    return [
        condition["room_id"]
        for condition in (allow if isinstance(allow, list) else [])
        if isinstance(condition, dict)
        and condition.get("type") == "m.room_membership"
        and isinstance(condition.get("room_id"), str)
    ]


def summary_of(room: LiveRoom) -> dict[str, Any]:
    """The room's summary, without anything that is somebody's own."""
    summary = {**public_room(room), "room_version": room.version.id}
    algorithm = room.content("m.room.encryption").get("algorithm")
    if isinstance(algorithm, str):
        summary["encryption"] = algorithm
    allowed = allowed_rooms(room)
    if allowed:
        summary["allowed_room_ids"] = allowed
    return summary


class Summaries:
    """Decides who may see a room's summary, and makes it or asks another server for it."""

    def __init__(
        self,
        rooms: Rooms,
        memberships: Memberships,
        remote: RemoteSpaces | None = None,
        *,
        server_name: ServerName,
    ) -> None:
        self._rooms = rooms
        self._memberships = memberships
        self._remote = remote or NoRemoteSpaces()
        self._server_name = server_name

    async def load(
        self, room_id: RoomID, user_id: UserID | None, servers: Sequence[ServerName] = ()
    ) -> dict[str, Any]:
        """The summary of a room, and the user's membership of it.

        Raises:
            NotFound: nobody knows the room, or it is not for this user to see.
        """
        room = await self.find_live(room_id)
        if room is not None:
            if not await self.may_see(room, user_id):
                raise NotFound(f"no room {room_id}")
            return self._with_membership(summary_of(room), room, user_id)
        found = await self.ask(room_id, servers, suggested_only=False)
        if found is None or not await self.may_see_remote(found.room, user_id):
            raise NotFound(f"no room {room_id}")
        summary = {key: value for key, value in found.room.items() if key != "children_state"}
        return self._with_membership(summary, await self._rooms.find_or_load(room_id), user_id)

    async def find_live(self, room_id: RoomID) -> LiveRoom | None:
        """The room, if somebody of this server is in it: only then its state is known to be that of today."""
        room = await self._rooms.find_or_load(room_id)
        return room if room is not None and room.local_joined else None

    async def may_see(self, room: LiveRoom, user_id: UserID | None) -> bool:
        """Whether the user is in the room, could come in, could ask to, or could look in."""
        if room.history_visibility == "world_readable":
            return not self._is_banned(room, user_id)
        if user_id is None:
            return room.join_rule in OPEN_RULES
        membership = room.membership(user_id)
        if membership in ("join", "invite"):
            return True
        if membership == "ban":
            return False
        if room.join_rule in OPEN_RULES:
            return True
        return room.join_rule in room.version.restricted_join_rules and (
            await self._memberships.meets_conditions(room, user_id)
        )

    @staticmethod
    def _is_banned(room: LiveRoom, user_id: UserID | None) -> bool:
        return user_id is not None and room.membership(user_id) == "ban"

    async def server_may_see(self, room: LiveRoom, server: ServerName) -> bool:
        """Whether some user of another server could see the room's summary."""
        if room.history_visibility == "world_readable" or room.join_rule in OPEN_RULES:
            return True
        if server in room.joined_servers or any(domain_of(user) == server for user in room.invited):
            return True
        for room_id in allowed_rooms(room):
            allowed = await self._rooms.find_or_load(RoomID(room_id))
            if allowed is not None and server in allowed.joined_servers:
                return True
        return False

    async def may_see_remote(self, summary: Mapping[str, Any], user_id: UserID | None) -> bool:
        """Whether what another server said of a room is for this user."""
        if summary.get("world_readable") is True or summary.get("join_rule", "public") in OPEN_RULES:
            return True
        if user_id is None:
            return False
        known = await self._rooms.find_or_load(RoomID(str(summary.get("room_id"))))
        if known is not None and known.membership(user_id) == "invite":
            return True
        allowed = summary.get("allowed_room_ids")
        for room_id in allowed if isinstance(allowed, list) else []:
            room = await self._rooms.find_or_load(RoomID(room_id)) if isinstance(room_id, str) else None
            if room is not None and room.is_joined(user_id):
                return True
        return False

    async def ask(
        self, room_id: RoomID, servers: Sequence[ServerName], *, suggested_only: bool
    ) -> Hierarchy | None:
        """What the first of the servers that answers says of a room and its children."""
        others = [server for server in dict.fromkeys(servers) if server != self._server_name]
        for server in others[:MAX_SERVERS_ASKED]:
            try:
                found = await self._remote.get_space_hierarchy(server, room_id, suggested_only=suggested_only)
            except RemoteError as error:
                _log.info("no summary", room=room_id, server=server, reason=str(error))
                continue
            if found.room.get("room_id") == room_id and is_summary(found.room):
                return found
        return None

    @staticmethod
    def _with_membership(
        summary: dict[str, Any], room: LiveRoom | None, user_id: UserID | None
    ) -> dict[str, Any]:
        if user_id is None:
            return summary
        return {**summary, "membership": "leave" if room is None else room.membership(user_id)}


def is_summary(value: Any) -> bool:
    """Whether what another server sent has what clients rely on."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("room_id"), str)
        and isinstance(value.get("num_joined_members"), int)
        and isinstance(value.get("world_readable"), bool)
        and isinstance(value.get("guest_can_join"), bool)
    )
