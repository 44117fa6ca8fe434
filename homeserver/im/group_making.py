"""New groups: the room that makes one, under a number by which people find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.errors import InvalidParam, TooLarge
from homeserver.ids import RoomAlias, RoomID, ServerName, UserID
from homeserver.im.group_shapes import (
    GROUP,
    JOIN_RULES,
    HistoryMode,
    InvitePermission,
    JoinMode,
    power_levels,
)
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.creation import NewRoom, RoomCreation, StateDraft
from homeserver.rooms.directory import Directory
from homeserver.runtime.random import Randomness

FIRST_INVITED = 200
"""How many people a group may be made with; more are invited afterwards."""
_NUMBERS = 10**9
_TRIES = 8


@dataclass(slots=True, frozen=True, kw_only=True)
class NewGroup:
    """What somebody wants of a group that does not exist yet."""

    owner: UserID
    name: str
    description: str | None = None
    avatar: str | None = None
    members: Sequence[UserID] = ()
    join_mode: JoinMode = "invite"
    invite_permission: InvitePermission = "all"
    history: HistoryMode = "shared"
    searchable: bool = False
    number: str | None = None


@dataclass(slots=True, frozen=True)
class GroupDefaults:
    """What the configuration says of groups."""

    room_version: str
    server_name: ServerName
    max_members: int


class GroupMaking:
    """Makes groups."""

    def __init__(
        self, creation: RoomCreation, directory: Directory, numbers: GroupNumbers, defaults: GroupDefaults
    ) -> None:
        self._creation = creation
        self._directory = directory
        self._numbers = numbers
        self._defaults = defaults

    async def create(self, wanted: NewGroup) -> RoomID:
        """Make a group. Its first members are still to be invited.

        Raises:
            InvalidParam: it has no name, or a number that is none.
            RoomInUse: another group has this number.
            TooLarge: more people are named than may be invited at once.
        """
        name = wanted.name.strip()
        if not name or len(name) > 100:
            raise InvalidParam("a group has a name of at most 100 characters")
        members = [user for user in dict.fromkeys(wanted.members) if user != wanted.owner]
        if len(members) > min(FIRST_INVITED, self._defaults.max_members - 1):
            raise TooLarge(f"a group is made with at most {FIRST_INVITED} people")
        alias = await self._numbers.choose(wanted.number)
        state = [
            StateDraft("m.room.join_rules", {"join_rule": JOIN_RULES[wanted.join_mode]}),
            StateDraft("m.room.history_visibility", {"history_visibility": wanted.history}),
            StateDraft("m.room.guest_access", {"guest_access": "forbidden"}),
        ]
        if wanted.avatar:
            state.append(StateDraft("m.room.avatar", {"url": wanted.avatar}))
        room = await self._creation.create(
            NewRoom(
                wanted.owner,
                self._defaults.room_version,
                alias=alias,
                name=name,
                topic=wanted.description or None,
                creation_content={"type": GROUP},
                initial_state=state,
                power_levels=power_levels(wanted.owner, wanted.invite_permission),
                encrypted=False,
            )
        )
        if wanted.searchable:
            await self._directory.set_published(room.room_id, published=True)
        return room.room_id


class GroupNumbers:
    """The numbers by which people find groups: aliases that are digits."""

    def __init__(self, aliases: Aliases, random: Randomness, *, server_name: ServerName) -> None:
        self._aliases = aliases
        self._random = random
        self._server_name = server_name

    async def choose(self, number: str | None) -> RoomAlias:
        """The alias for the number that is wanted, or for one that nobody has.

        Raises:
            InvalidParam: it is no number.
            RoomInUse: another room has it.
        """
        if number is not None:
            if not (number.isascii() and number.isdigit() and 4 <= len(number) <= 12):
                raise InvalidParam("a group's number has 4 to 12 digits")
            alias = RoomAlias(f"#{number}:{self._server_name}")
            await self._aliases.check_free(alias)
            return alias
        for _ in range(_TRIES):
            alias = RoomAlias(f"#{10**8 + self._random.below(_NUMBERS - 10**8)}:{self._server_name}")
            if await self._aliases.find(alias) is None:
                return alias
        raise InvalidParam("no number is free; choose one")

    async def release(self, gid: RoomID, user_id: UserID) -> None:
        """Take every number from a group that is no more."""
        for alias in await self._aliases.list_of_room(gid):
            await self._aliases.remove(alias, user_id, is_admin=True)
