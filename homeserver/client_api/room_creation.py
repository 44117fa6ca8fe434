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
from homeserver.rooms.third_party_invites import Addressee, ThirdPartyInvites


class StateEventBody(msgspec.Struct):
    type: str
    content: dict[str, Any]
    state_key: str = ""


class Invite3pid(msgspec.Struct):
    """Somebody who is known by an address."""

    id_server: str
    id_access_token: str
    medium: str
    address: str


class CreateRoomBody(msgspec.Struct, kw_only=True):
    """Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom"""

    visibility: Literal["public", "private"] | None = None
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[UserID] = []
    invite_3pid: list[Invite3pid] = []
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
        third_party: ThirdPartyInvites,
        *,
        server_name: ServerName,
        default_version: str,
    ) -> None:
        self._creation = creation
        self._directory = directory
        self._third_party = third_party
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
        invite, unknown = list(body.invite), []
        for each in body.invite_3pid:
            whom = Addressee(each.id_server, each.id_access_token, each.medium, each.address)
            user_id = await self._third_party.find_user(whom)
            if user_id is None:
                unknown.append(whom)
            else:
                invite.append(user_id)
        is_public = body.visibility == "public"
        if is_public:
            await self._directory.check_may_publish(None, who.user_id, [] if alias is None else [alias])
        room = await self._creation.create(
            NewRoom(
                who.user_id,
                body.room_version or self._default_version,
                preset=body.preset,
                is_public=is_public,
                alias=alias,
                name=body.name,
                topic=body.topic,
                invite=invite,
                is_direct=body.is_direct,
                creation_content=body.creation_content,
                initial_state=[
                    StateDraft(each.type, each.content, each.state_key) for each in body.initial_state
                ],
                power_levels=body.power_level_content_override,
            )
        )
        if is_public:
            await self._directory.set_published(room.room_id, published=True)
        for whom in unknown:
            await self._third_party.store(room, who.user_id, whom)
        return CreatedRoom(room.room_id)
