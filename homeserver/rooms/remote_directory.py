"""The directories of other servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from federation.outbound.client import FederationClient
from homeserver.errors import RemoteError
from homeserver.ids import RoomAlias, RoomID, ServerName, is_room_id, is_server_name


class FederatedDirectory:
    """Asks what aliases stand for, and which rooms are published."""

    def __init__(self, client: FederationClient) -> None:
        self._client = client

    async def query_directory(self, server: ServerName, alias: RoomAlias) -> tuple[RoomID, list[ServerName]]:
        """
        Raises:
            RemoteError: the server does not know, or makes no sense.
        """
        answer = await self._client.query_directory(server, alias)
        if not is_room_id(answer.room_id):
            raise RemoteError(f"{server} says that {alias} stands for something that is no room")
        servers = [ServerName(name) for name in answer.servers if is_server_name(name)]
        return RoomID(answer.room_id), list(dict.fromkeys([*servers, server]))

    async def public_rooms(self, server: ServerName, query: Mapping[str, Any]) -> dict[str, Any]:
        """
        Raises:
            RemoteError: the server does not tell.
        """
        answer = await self._client.query_public_rooms(server, query)
        page: dict[str, Any] = msgspec.to_builtins(answer)
        return {key: value for key, value in page.items() if value is not None}
