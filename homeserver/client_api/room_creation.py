"""Making rooms. Spec: https://spec.matrix.org/v1.19/client-server-api/#creation"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import InvalidParam
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.ids import RoomID, ServerName, UserID, parse_room_alias
from homeserver.rooms.creation import NewRoom, RoomCreation, StateDraft
from homeserver.rooms.directory import Directory


class StateEventBody(msgspec.Struct):
    type: str
    content: dict[str, Any]
    state_key: str = ""


class CreateRoomBody(msgspec.Struct, kw_only=True):
    """Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom"""

    visibility: Literal["public", "private"] | None = None
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[UserID] = []
    room_version: str | None = None
    creation_content: dict[str, Any] = {}
    initial_state: list[StateEventBody] = []
    preset: Literal["private_chat", "public_chat", "trusted_private_chat"] | None = None
    is_direct: bool = False
    power_level_content_override: dict[str, Any] = {}


class CreatedRoom(msgspec.Struct):
    room_id: RoomID


class RoomCreationEndpoints:
    """Serves createRoom."""

    def __init__(
        self,
        creation: RoomCreation,
        directory: Directory,
        *,
        server_name: ServerName,
        default_version: str,
    ) -> None:
        self._creation = creation
        self._directory = directory
        self._server_name = server_name
        self._default_version = default_version

    @endpoint(
        "POST",
        "/_matrix/client/v3/createRoom",
        rate_limit=RateLimit("create_room"),
        guests=True,
        suspended=False,
    )
    async def create_room(self, who: Requester, body: CreateRoomBody) -> CreatedRoom:
        """Make a room with everything that the client wants in it from the start.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
        """
        alias = None
        if body.room_alias_name is not None:
            if not body.room_alias_name or set(body.room_alias_name) & set(":\0# "):
                raise InvalidParam("room_alias_name is the part of an alias between # and :")
            alias = parse_room_alias(f"#{body.room_alias_name}:{self._server_name}")
        room = await self._creation.create(
            NewRoom(
                who.user_id,
                body.room_version or self._default_version,
                preset=body.preset,
                is_public=body.visibility == "public",
                alias=alias,
                name=body.name,
                topic=body.topic,
                invite=body.invite,
                is_direct=body.is_direct,
                creation_content=body.creation_content,
                initial_state=[
                    StateDraft(each.type, each.content, each.state_key) for each in body.initial_state
                ],
                power_levels=body.power_level_content_override,
            )
        )
        if body.visibility == "public":
            await self._directory.set_published(room.room_id, published=True)
        return CreatedRoom(room.room_id)
