"""Finding rooms: by alias, here and elsewhere, and in the list of published rooms.

Spec: https://spec.matrix.org/v1.19/client-server-api/#published-room-directory
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from homeserver.errors import Forbidden, InvalidParam, NotFound, RemoteError
from homeserver.ids import (
    RoomAlias,
    RoomID,
    ServerName,
    UserID,
    domain_of,
    is_room_id,
    parse_room_alias,
    parse_room_id,
)
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.directory_rules import DirectoryRules
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.runtime.notifier import LogKind
from storage import directory as directory_rows
from storage.database import Database
from storage.transaction import Transaction


class RemoteDirectory(Protocol):
    """Asks other servers what their aliases stand for."""

    async def query_directory(
        self, server: ServerName, alias: RoomAlias
    ) -> tuple[RoomID, list[ServerName]]: ...

    async def public_rooms(self, server: ServerName, query: Mapping[str, Any]) -> dict[str, Any]: ...


AliasAsker = Callable[[RoomAlias], Awaitable[bool]]


class Directory:
    """The published rooms of this server, and the way from an alias to a room."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        aliases: Aliases,
        remote: RemoteDirectory,
        rules: DirectoryRules,
        *,
        server_name: ServerName,
        is_listed: bool = True,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._aliases = aliases
        self._remote = remote
        self._rules = rules
        self._server_name = server_name
        self._is_listed = is_listed
        self._askers: list[AliasAsker] = []

    def ask_for_aliases(self, ask: AliasAsker) -> None:
        """Have somebody make the room, perhaps, that an unknown alias of this server is to stand for."""
        self._askers.append(ask)

    async def resolve(
        self, room_id_or_alias: str, servers: Sequence[ServerName] = ()
    ) -> tuple[RoomID, list[ServerName]]:
        """The room, and the servers that may know it: those given first.

        Raises:
            NotFound: there is no such alias.
            InvalidParam: it is neither a room ID nor an alias.
        """
        if is_room_id(room_id_or_alias):
            room_id = parse_room_id(room_id_or_alias)
            domain = domain_of(room_id)
            return room_id, [*servers, *([domain] if domain else [])]
        if not room_id_or_alias.startswith("#"):
            raise InvalidParam(f"{room_id_or_alias!r} is neither a room ID nor a room alias")
        room_id, known = await self.find(parse_room_alias(room_id_or_alias))
        return room_id, list(dict.fromkeys([*servers, *known]))

    async def find(self, alias: RoomAlias) -> tuple[RoomID, list[ServerName]]:
        """
        Raises:
            NotFound: neither this server nor the alias's own knows it.
        """
        if self._aliases.is_local(alias):
            found = await self._aliases.find(alias)
            for ask in self._askers:
                if found is None and await ask(alias):
                    found = await self._aliases.find(alias)
            if found is None:
                raise NotFound(f"no alias {alias}")
            return found
        try:
            return await self._remote.query_directory(domain_of(alias), alias)
        except RemoteError as error:
            raise NotFound(f"no alias {alias}: {error}") from error

    def is_ours(self, server: ServerName) -> bool:
        return server == self._server_name

    async def is_known(self, room_id: RoomID) -> bool:
        return await self._rooms.find_or_load(room_id) is not None

    async def public_rooms_of(
        self,
        server: ServerName,
        *,
        limit: int | None = None,
        since: str | None = None,
        term: str | None = None,
        room_types: Sequence[str | None] | None = None,
        network: str | None = None,
        all_networks: bool = False,
    ) -> dict[str, Any]:
        """A page of another server's published rooms.

        Raises:
            RemoteError: it did not tell.
        """
        query: dict[str, Any] = {"limit": limit, "since": since, "third_party_instance_id": network}
        query = {key: value for key, value in query.items() if value is not None}
        wanted: dict[str, Any] = {} if term is None else {"generic_search_term": term}
        if room_types is not None:
            wanted["room_types"] = list(room_types)
        if wanted:
            query["filter"] = wanted
        if all_networks:
            query["include_all_networks"] = True
        return await self._remote.public_rooms(server, query)

    async def is_published(self, room_id: RoomID) -> bool:
        return await self._db.read(directory_rows.is_published, room_id)

    async def check_may_publish(
        self, room_id: RoomID | None, user_id: UserID, aliases: Sequence[RoomAlias]
    ) -> None:
        """
        Raises:
            Forbidden: the user may not put this room, or one that is being made, into the directory.
        """
        if room_id is not None:
            aliases = await self._aliases.list_of_room(room_id)
        if not self._rules.permits(user_id, aliases, room_id):
            raise Forbidden("you may not put this room into the directory")

    async def set_published(self, room_id: RoomID, *, published: bool) -> None:
        await self._db.run(_set_published, room_id, published=published)

    async def set_network_published(
        self, appservice_id: str, network_id: str, room_id: RoomID, *, published: bool
    ) -> None:
        """List the room, or not, among the rooms of one network of an application service."""
        await self._db.run(
            directory_rows.set_network, appservice_id, network_id, room_id, published=published
        )

    async def public_rooms(
        self,
        *,
        limit: int | None = None,
        since: str | None = None,
        term: str | None = None,
        room_types: Sequence[str | None] | None = None,
        network: str | None = None,
        all_networks: bool = False,
        federates: bool = False,
    ) -> dict[str, Any]:
        """A page of published rooms, those with most members first.

        Raises:
            InvalidParam: `since` is none of our tokens.
        """
        if since is not None and not since.isdecimal():
            raise InvalidParam(f"since: {since[:40]!r} is not a token of this server")
        chunks: list[dict[str, Any]] = []
        if not self._is_listed:
            return {"chunk": [], "total_room_count_estimate": 0}
        for room_id in await self._db.read(directory_rows.list_published, network, all_networks=all_networks):
            room = await self._rooms.find_or_load(room_id)
            if room is None or not room.joined:
                continue
            if federates and room.content("m.room.create").get("m.federate") is False:
                continue
            if room_types is not None and room.room_type not in room_types:
                continue
            chunk = public_room(room)
            if term and not _matches(chunk, term.casefold()):
                continue
            chunks.append(chunk)
        chunks.sort(key=lambda chunk: (-chunk["num_joined_members"], chunk["room_id"]))
        first = int(since or 0)
        last = len(chunks) if limit is None else first + max(limit, 0)
        page: dict[str, Any] = {"chunk": chunks[first:last], "total_room_count_estimate": len(chunks)}
        if last < len(chunks):
            page["next_batch"] = str(last)
        if first > 0:
            page["prev_batch"] = str(max(0, first - (limit or 0)))
        return page


def public_room(room: LiveRoom) -> dict[str, Any]:
    """What the directory shows of a room."""
    chunk: dict[str, Any] = {
        "room_id": room.room_id,
        "num_joined_members": len(room.joined),
        "world_readable": room.history_visibility == "world_readable",
        "guest_can_join": room.content("m.room.guest_access").get("guest_access") == "can_join",
        "join_rule": room.join_rule,
    }
    sources = (
        ("name", "m.room.name", "name"),
        ("topic", "m.room.topic", "topic"),
        ("avatar_url", "m.room.avatar", "url"),
        ("canonical_alias", "m.room.canonical_alias", "alias"),
        ("room_type", "m.room.create", "type"),
    )
    for name, event_type, key in sources:
        value = room.content(event_type).get(key)
        if isinstance(value, str) and value:
            chunk[name] = value
    return chunk


def _matches(chunk: dict[str, Any], term: str) -> bool:
    return any(term in chunk.get(name, "").casefold() for name in ("name", "topic", "canonical_alias"))


def _set_published(txn: Transaction, room_id: RoomID, *, published: bool) -> None:
    directory_rows.set_published(txn, room_id, published=published)
    txn.log(LogKind.DIRECTORY, room_id=room_id)
