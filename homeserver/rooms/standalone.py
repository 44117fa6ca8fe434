"""A server that does not federate: whatever would take another server is refused in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from homeserver.errors import Forbidden, RemoteError
from homeserver.ids import RoomAlias, RoomID, ServerName, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.writer import Draft


class Standalone:
    """Stands for the handshakes and the directories of other servers."""

    async def join(
        self, room_id: RoomID, user_id: UserID, servers: Sequence[ServerName], content: dict[str, Any]
    ) -> NoReturn:
        raise Forbidden(f"{room_id} is on other servers, and this one does not federate")

    async def knock(
        self, room_id: RoomID, user_id: UserID, servers: Sequence[ServerName], content: dict[str, Any]
    ) -> NoReturn:
        raise Forbidden(f"{room_id} is on other servers, and this one does not federate")

    async def leave(self, room_id: RoomID, user_id: UserID, content: dict[str, Any]) -> NoReturn:
        raise Forbidden(f"{room_id} is on other servers, and this one does not federate")

    async def invite(self, room: LiveRoom, draft: Draft) -> NoReturn:
        raise Forbidden(f"{draft.state_key} is on another server, and this one does not federate")

    async def wait_for(self, room: LiveRoom) -> LiveRoom:
        """A room that was never joined elsewhere is whole."""
        return room

    async def exchange_third_party_invite(
        self, server: ServerName, room_id: RoomID, event: Mapping[str, Any]
    ) -> NoReturn:
        raise RemoteError("this server does not federate")

    async def query_directory(self, server: ServerName, alias: RoomAlias) -> NoReturn:
        raise RemoteError("this server does not federate")

    async def public_rooms(self, server: ServerName, query: Mapping[str, Any]) -> NoReturn:
        raise RemoteError("this server does not federate")
