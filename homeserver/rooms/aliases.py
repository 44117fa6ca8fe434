"""Room aliases of this server: names that people can type, and the directory that lists published rooms.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-aliases
"""

from __future__ import annotations

from collections.abc import Callable

from homeserver.errors import Conflict, Forbidden, InvalidParam, MatrixError, NotFound
from homeserver.ids import RoomAlias, RoomID, ServerName, UserID, domain_of, parse_room_alias
from homeserver.rooms.directory_rules import DirectoryRules
from homeserver.rooms.registry import Rooms
from storage import aliases as alias_rows
from storage.database import Database


class RoomInUse(MatrixError):
    errcode = "M_ROOM_IN_USE"


class BadAlias(MatrixError):
    errcode = "M_BAD_ALIAS"


AliasCheck = Callable[[RoomAlias, UserID], None]


class Aliases:
    """Gives and takes the aliases of this server."""

    def __init__(self, db: Database, rooms: Rooms, rules: DirectoryRules, *, server_name: ServerName) -> None:
        self._db = db
        self._rooms = rooms
        self._rules = rules
        self._server_name = server_name
        self._checks: list[AliasCheck] = []

    def check_with(self, check: AliasCheck) -> None:
        """Have new aliases refused by one more rule (those that are reserved for application services)."""
        self._checks.append(check)

    def check_may_add(self, alias: RoomAlias, creator: UserID, room_id: RoomID | None = None) -> None:
        """
        Raises:
            MatrixError: the alias is not for this user to make, of this room or of one that is being made.
        """
        self._rules.check_alias(alias, creator, room_id)
        for check in self._checks:
            check(alias, creator)

    def is_local(self, alias: RoomAlias) -> bool:
        return domain_of(alias) == self._server_name

    async def find(self, alias: RoomAlias) -> tuple[RoomID, list[ServerName]] | None:
        """The room that a local alias stands for, and the servers that know it, this one first."""
        room_id = await self._db.read(alias_rows.find, alias)
        if room_id is None:
            return None
        room = await self._rooms.find_or_load(room_id)
        others = [] if room is None else [server for server in room.servers if server != self._server_name]
        return room_id, [self._server_name, *others]

    async def list_of_room(self, room_id: RoomID) -> list[RoomAlias]:
        return await self._db.read(alias_rows.list_of_room, room_id)

    async def check_free(self, alias: RoomAlias) -> None:
        """
        Raises:
            RoomInUse: the alias stands for a room already.
        """
        if await self._db.read(alias_rows.find, alias) is not None:
            raise RoomInUse(f"{alias} is taken")

    async def add(self, alias: RoomAlias, room_id: RoomID, creator: UserID) -> None:
        """
        Raises:
            InvalidParam: the alias belongs to another server.
            Conflict: it stands for a room already.
        """
        if not self.is_local(alias):
            raise InvalidParam(f"{alias} does not belong to {self._server_name}")
        self.check_may_add(alias, creator, room_id)
        if await self._rooms.find_or_load(room_id) is None:
            raise NotFound(f"unknown room {room_id}")
        if not await self._db.run(alias_rows.add, alias, room_id, creator):
            raise Conflict(f"{alias} is taken")

    async def remove(self, alias: RoomAlias, user_id: UserID, *, is_admin: bool = False) -> None:
        """
        Raises:
            NotFound: there is no such alias.
            Forbidden: only its creator, an administrator, or whoever may change the room's canonical alias can.
        """
        found = await self._db.read(alias_rows.find_with_creator, alias)
        if found is None:
            raise NotFound(f"no alias {alias}")
        room_id, creator = found
        if creator != user_id and not is_admin:
            room = await self._rooms.find_or_load(room_id)
            levels = None if room is None or not room.is_joined(user_id) else room.power_levels
            if levels is None or levels.user(user_id) < levels.event("m.room.canonical_alias", is_state=True):
                raise Forbidden(f"you may not remove {alias}")
        await self._db.run(alias_rows.remove, alias)

    async def check_stands_for(self, alias: str, room_id: RoomID) -> None:
        """
        Raises:
            InvalidParam: this is no alias.
            BadAlias: it stands for no room, or for another; what other servers' aliases stand for is not asked.
        """
        parsed = parse_room_alias(alias)
        if self.is_local(parsed):
            found = await self._db.read(alias_rows.find, parsed)
            if found != room_id:
                raise BadAlias(f"{alias} does not stand for this room")

    async def move_all(self, old: RoomID, new: RoomID) -> None:
        """Have every alias of one room stand for another from now on."""
        await self._db.run(alias_rows.move_all, old, new)
