"""New rooms: from what a client asks for to the events that make the room, written as one append.

Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.rooms import RoomsConfig
from homeserver.errors import BadJson, Forbidden, InvalidParam, MatrixError, UnsupportedRoomVersion
from homeserver.events.room_versions import RoomVersion, room_version
from homeserver.ids import NAMESPACE, RoomAlias, RoomID, ServerName, UserID, domain_of, is_user_id
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import MemberProfiles, Memberships
from homeserver.rooms.writer import Draft, RoomWriter
from homeserver.runtime.random import Randomness

_PRESETS: dict[str, tuple[str, str, str]] = {
    # preset: join rule, history visibility, guest access
    "private_chat": ("invite", "shared", "can_join"),
    "trusted_private_chat": ("invite", "shared", "can_join"),
    "public_chat": ("public", "shared", "forbidden"),
}
_STATE_LEVELS = {
    "m.room.name": 50,
    "m.room.avatar": 50,
    "m.room.canonical_alias": 50,
    "m.room.power_levels": 100,
    "m.room.history_visibility": 100,
    "m.room.tombstone": 100,
    "m.room.server_acl": 100,
    "m.room.encryption": 100,
}
TOMBSTONE_LEVEL_WITH_CREATORS = 150
NONCE = f"{NAMESPACE}nonce"
MEGOLM = "m.megolm.v1.aes-sha2"


class InvalidRoomState(MatrixError):
    """The asked-for initial state would not make a room."""

    errcode = "M_INVALID_ROOM_STATE"


class UnsupportedVersion(MatrixError):
    errcode = "M_UNSUPPORTED_ROOM_VERSION"


@dataclass(slots=True)
class StateDraft:
    """A state event that the client wants from the start."""

    type: str
    content: dict[str, Any]
    state_key: str = ""


@dataclass(slots=True)
class NewRoom:
    """What somebody wants of a room that does not exist yet."""

    creator: UserID
    version: str
    preset: str | None = None
    is_public: bool = False
    alias: RoomAlias | None = None
    name: str | None = None
    topic: str | None = None
    invite: Sequence[UserID] = ()
    is_direct: bool = False
    creation_content: Mapping[str, Any] = field(default_factory=dict)
    initial_state: Sequence[StateDraft] = ()
    power_levels: Mapping[str, Any] = field(default_factory=dict)
    invite_content: Mapping[str, Any] = field(default_factory=dict)
    """Keys that go into the content of each invitation, beside the usual ones."""
    reason: str | None = None
    encrypted: bool | None = None
    """Whether it is encrypted from the start; None: as this server has it for rooms of this preset."""


class RoomCreation:
    """Makes rooms."""

    def __init__(
        self,
        writer: RoomWriter,
        memberships: Memberships,
        aliases: Aliases,
        profiles: MemberProfiles,
        random: Randomness,
        config: RoomsConfig,
        *,
        server_name: ServerName,
    ) -> None:
        self._writer = writer
        self._memberships = memberships
        self._aliases = aliases
        self._profiles = profiles
        self._random = random
        self._config = config
        self._server_name = server_name

    async def create(self, wanted: NewRoom) -> LiveRoom:
        """Make the room, with everything in it that was asked for, or nothing.

        Raises:
            UnsupportedVersion: Hearth does not know the room version.
            InvalidRoomState: the initial state is refused by the authorization rules.
            BadJson, InvalidParam: a part of the request is not what it must be.
        """
        try:
            version = room_version(wanted.version)
        except UnsupportedRoomVersion as error:
            raise UnsupportedVersion(str(error)) from error
        invite_content = {**wanted.invite_content, **({"is_direct": True} if wanted.is_direct else {})}
        for user in wanted.invite:
            if not is_user_id(user):
                raise InvalidParam(f"{user!r} is not a user ID")
            await self._memberships.check_may_invite(wanted.creator, user, invite_content)
        if wanted.alias is not None:
            await self._aliases.check_free(wanted.alias)
            self._aliases.check_may_add(wanted.alias, wanted.creator)
        local = [user for user in dict.fromkeys(wanted.invite) if domain_of(user) == self._server_name]
        remote = [user for user in dict.fromkeys(wanted.invite) if domain_of(user) != self._server_name]
        drafts = await self._drafts(wanted, version)
        for user in local:
            if user != wanted.creator:
                drafts.append(await self._invitation(wanted, user))
        room_id = (
            None
            if version.room_id_is_create_event_id
            else RoomID(f"!{self._random.token(18)}:{self._server_name}")
        )
        try:
            room = await self._writer.create(version, room_id, drafts)
        except Forbidden as error:
            raise InvalidRoomState(f"this would make no room: {error.error}") from error
        if wanted.alias is not None:
            await self._aliases.add(wanted.alias, room.room_id, wanted.creator)
        for user in remote:
            await self._memberships.invite(
                room.room_id, wanted.creator, user, extra=invite_content, reason=wanted.reason
            )
        return room

    async def _invitation(self, wanted: NewRoom, user: UserID) -> Draft:
        content = {
            **wanted.invite_content,
            "membership": "invite",
            **await self._profiles.member_profile(user),
        }
        if wanted.is_direct:
            content["is_direct"] = True
        if wanted.reason is not None:
            content["reason"] = wanted.reason
        return Draft("m.room.member", wanted.creator, content, state_key=user)

    async def _drafts(self, wanted: NewRoom, version: RoomVersion) -> list[Draft]:
        """The events up to the invitations, in the order that the specification gives."""
        creator = wanted.creator
        preset = wanted.preset or ("public_chat" if wanted.is_public else "private_chat")
        if preset not in _PRESETS:
            raise BadJson(f"{preset!r} is not a preset")
        join_rule, visibility, guests = _PRESETS[preset]

        def state(event_type: str, content: Mapping[str, Any], state_key: str = "") -> Draft:
            return Draft(event_type, creator, dict(content), state_key=state_key)

        chosen = {(each.type, each.state_key) for each in wanted.initial_state}
        profile = await self._profiles.member_profile(creator)
        drafts = [
            state("m.room.create", self._create_content(wanted, version, preset)),
            state("m.room.member", {"membership": "join", **profile}, creator),
            state("m.room.power_levels", self._power_levels(wanted, version, preset)),
        ]
        if wanted.alias is not None:
            drafts.append(state("m.room.canonical_alias", {"alias": wanted.alias}))
        defaults = (
            ("m.room.join_rules", {"join_rule": join_rule}),
            ("m.room.history_visibility", {"history_visibility": visibility}),
            ("m.room.guest_access", {"guest_access": guests}),
        )
        drafts += [state(kind, content) for kind, content in defaults if (kind, "") not in chosen]
        if self._is_encrypted(wanted, preset) and ("m.room.encryption", "") not in chosen:
            drafts.append(state("m.room.encryption", {"algorithm": MEGOLM}))
        for each in wanted.initial_state:
            if each.type == "m.room.create" or each.type == "m.room.member":
                raise InvalidRoomState(f"initial_state must not contain {each.type}")
            if each.type == "m.room.name" and wanted.name is not None:
                continue
            if each.type == "m.room.topic" and wanted.topic is not None:
                continue
            drafts.append(state(each.type, each.content, each.state_key))
        if wanted.name is not None:
            drafts.append(state("m.room.name", {"name": wanted.name}))
        if wanted.topic is not None:
            block = {"m.text": [{"body": wanted.topic, "mimetype": "text/plain"}]}
            drafts.append(state("m.room.topic", {"topic": wanted.topic, "m.topic": block}))
        return drafts

    def _create_content(self, wanted: NewRoom, version: RoomVersion, preset: str) -> dict[str, Any]:
        content = {**wanted.creation_content, "room_version": version.id}
        if version.room_id_is_create_event_id:
            # Somebody may make two rooms within a millisecond: their create events, and so their IDs, must differ.
            content[NONCE] = self._random.token(9)
        content.pop("creator", None)
        if version.creator_in_content:
            content["creator"] = wanted.creator
        if version.creators_are_almighty:
            creators = content.get("additional_creators", [])
            if not isinstance(creators, list) or not all(is_user_id(user) for user in creators):
                raise InvalidParam("additional_creators must be a list of user IDs")
            if preset == "trusted_private_chat":
                creators = [*creators, *wanted.invite]
            creators = [user for user in dict.fromkeys(creators) if user != wanted.creator]
            content.pop("additional_creators", None)
            if creators:
                content["additional_creators"] = creators
        return content

    def _is_encrypted(self, wanted: NewRoom, preset: str) -> bool:
        if wanted.encrypted is not None:
            return wanted.encrypted
        default = self._config.encryption_enabled_by_default_for_room_type
        return default == "all" or (default == "invite" and preset != "public_chat")

    def _power_levels(self, wanted: NewRoom, version: RoomVersion, preset: str) -> dict[str, Any]:
        users: dict[str, int] = {}
        if not version.creators_are_almighty:
            users[wanted.creator] = 100
            if preset == "trusted_private_chat":
                users.update(dict.fromkeys(wanted.invite, 100))
        events = dict(_STATE_LEVELS)
        if version.creators_are_almighty:
            events["m.room.tombstone"] = TOMBSTONE_LEVEL_WITH_CREATORS
        levels: dict[str, Any] = {
            "users": users,
            "users_default": 0,
            "events": events,
            "events_default": 0,
            "state_default": 50,
            "ban": 50,
            "kick": 50,
            "redact": 50,
            "invite": 0 if preset != "public_chat" else 50,
            "historical": 100,
        }
        overridden = self._config.default_power_level_content_override.get(preset) or {}
        return {**levels, **overridden, **wanted.power_levels}
