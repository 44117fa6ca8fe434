"""Groups: looking at them, finding them, and what their owner and admins may set.

A group is a room of type `im.hearth.group`; everything here is read from its state and written as its events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from homeserver.errors import Forbidden, InvalidParam, NotFound, RemoteError
from homeserver.ids import RoomID, ServerName, UserID, is_server_name
from homeserver.im.group_shapes import (
    ADMIN,
    GROUP,
    JOIN_RULES,
    MEMBER,
    HistoryMode,
    InvitePermission,
    JoinMode,
    check_not_dissolved,
    is_dissolved,
    join_mode_of,
    owner_of,
    role_of,
)
from homeserver.rooms.directory import Directory
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.sending import Sending
from storage import membership as membership_rows
from storage.database import Database

LevelChange = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes of a copy of the power levels event's content what it shall be."""


class Groups:
    """Shows, finds and changes groups."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        sending: Sending,
        directory: Directory,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._sending = sending
        self._directory = directory

    async def find(self, gid: RoomID) -> LiveRoom | None:
        """The group, if this server knows it.

        Raises:
            NotFound: it is a room, but no group.
        """
        room = await self._rooms.find_or_load(gid)
        if room is not None and room.room_type != GROUP:
            raise NotFound(f"no group {gid}")
        return room

    async def load(self, gid: RoomID) -> LiveRoom:
        """
        Raises:
            NotFound: this server knows no such group.
        """
        room = await self.find(gid)
        if room is None:
            raise NotFound(f"no group {gid}")
        return room

    async def load_joined(self, gid: RoomID, user_id: UserID) -> LiveRoom:
        """
        Raises:
            NotFound: this server knows no such group.
            GroupDissolved: there is none any more.
            Forbidden: the user is not a member.
        """
        room = await self.load(gid)
        check_not_dissolved(room)
        if not room.is_joined(user_id):
            raise Forbidden("you are not a member of this group")
        return room

    async def view(self, gid: RoomID, viewer: UserID) -> dict[str, Any]:
        """A group as one user may see it.

        Raises:
            NotFound: there is none that this user may know of.
        """
        return await self.viewed(gid, viewer, await self.public(gid))

    async def public(self, gid: RoomID) -> dict[str, Any]:
        """A group as everybody sees it who may.

        Raises:
            NotFound: there is none.
        """
        room = await self.load(gid)
        return {**summary(room), "searchable": await self._directory.is_published(gid)}

    async def viewed(self, gid: RoomID, viewer: UserID, public: dict[str, Any]) -> dict[str, Any]:
        """What everybody sees of a group, with what it is to one user.

        Raises:
            NotFound: this user may not know of it.
        """
        room = await self.load(gid)
        known = ("m.room.member", viewer) in room.state
        if not (known or public["searchable"] or room.join_rule in ("public", "knock", "knock_restricted")):
            raise NotFound(f"no group {gid}")
        membership = room.membership(viewer)
        shown = {**public, "membership": membership}
        if membership == "join":
            shown["my_role"] = role_of(room, viewer)
            shown["my_nickname"] = room.display_name(viewer)
        return shown

    async def mine(self, user_id: UserID) -> list[dict[str, Any]]:
        """The groups that the user is a member of, by name."""
        return await self._with(await self._db.read(membership_rows.list_of_user, user_id), user_id)

    async def shared(self, user_id: UserID, other: UserID) -> list[dict[str, Any]]:
        """The groups that two users are both members of."""
        shared = set(await self._db.read(membership_rows.rooms_shared, user_id, other))
        rows = await self._db.read(membership_rows.list_of_user, user_id)
        return await self._with([row for row in rows if row.room_id in shared], user_id)

    async def _with(self, rows: Sequence[membership_rows.Membership], viewer: UserID) -> list[dict[str, Any]]:
        found = []
        for row in rows:
            if row.membership != "join":
                continue
            room = await self._rooms.find_or_load(row.room_id)
            if room is not None and room.room_type == GROUP:
                found.append({**summary(room), "my_role": role_of(room, viewer)})
        return sorted(found, key=lambda group: (group["name"].casefold(), group["gid"]))

    async def search(
        self, term: str, *, server: str | None, limit: int, since: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Searchable groups by a part of their name, or by their number; of another server if one is named.

        Raises:
            InvalidParam: the server has no name that servers have.
            NotFound: it does not tell.
        """
        if server is not None and not is_server_name(server):
            raise InvalidParam(f"{server!r} is not a server name")
        if server is None or self._directory.is_ours(ServerName(server)):
            page = await self._directory.public_rooms(limit=limit, since=since, term=term, room_types=[GROUP])
        else:
            try:
                page = await self._directory.public_rooms_of(
                    ServerName(server), limit=limit, since=since, term=term, room_types=[GROUP]
                )
            except RemoteError as error:
                raise NotFound(f"{server} does not tell: {error}") from error
        chunks = page.get("chunk", [])
        return [_found(chunk) for chunk in chunks if isinstance(chunk, dict)], page.get("next_batch")

    async def describe(
        self, gid: RoomID, user_id: UserID, *, name: str | None, description: str | None, avatar: str | None
    ) -> None:
        """Change what a group is called and shown as; None leaves a part as it is.

        Raises:
            Forbidden: the user is no admin.
        """
        await self.load_joined(gid, user_id)
        if name is not None:
            if not name.strip() or len(name) > 100:
                raise InvalidParam("a group has a name of at most 100 characters")
            await self._sending.state(gid, user_id, "m.room.name", "", {"name": name.strip()})
        if description is not None:
            block = {"m.text": [{"body": description, "mimetype": "text/plain"}]}
            await self._sending.state(
                gid, user_id, "m.room.topic", "", {"topic": description, "m.topic": block}
            )
        if avatar is not None:
            await self._sending.state(gid, user_id, "m.room.avatar", "", {"url": avatar} if avatar else {})

    async def set_rules(
        self,
        gid: RoomID,
        user_id: UserID,
        *,
        join_mode: JoinMode | None,
        invite_permission: InvitePermission | None,
        history: HistoryMode | None,
        searchable: bool | None,
    ) -> None:
        """Change who gets in, who invites, what newcomers read and whether strangers find the group.

        Raises:
            Forbidden: the user may not; how one joins is the owner's to say, the rest an admin's.
        """
        room = await self.load_joined(gid, user_id)
        if searchable is not None and room.power_levels.user(user_id) < ADMIN:
            raise Forbidden("only the owner and admins decide whether a group can be found")
        if join_mode is not None:
            rule = {"join_rule": JOIN_RULES[join_mode]}
            await self._sending.state(gid, user_id, "m.room.join_rules", "", rule)
        if invite_permission is not None:
            await self.change_levels(
                gid, user_id, partial(_with_invite_level, ADMIN if invite_permission == "admin" else MEMBER)
            )
        if history is not None:
            visibility = {"history_visibility": history}
            await self._sending.state(gid, user_id, "m.room.history_visibility", "", visibility)
        if searchable is not None:
            await self._directory.set_published(gid, published=searchable)

    async def mute_all(self, gid: RoomID, user_id: UserID, *, muted: bool) -> None:
        """Let only admins speak, or everybody again.

        Raises:
            Forbidden: the user is no admin.
        """
        await self.load_joined(gid, user_id)
        await self.change_levels(gid, user_id, partial(_with_speak_level, ADMIN if muted else MEMBER))

    async def change_levels(self, gid: RoomID, user_id: UserID, change: LevelChange) -> None:
        """Write the power levels anew with one change; nothing, if they are so already."""
        room = await self.load_joined(gid, user_id)
        current = dict(room.content("m.room.power_levels"))
        changed = change({**current, "users": dict(current.get("users", {}))})
        if changed != current:
            await self._sending.state(gid, user_id, "m.room.power_levels", "", changed)


def _with_invite_level(level: int, levels: dict[str, Any]) -> dict[str, Any]:
    events = {**levels.get("events", {}), "m.room.third_party_invite": level}
    return {**levels, "invite": level, "events": events}


def _with_speak_level(level: int, levels: dict[str, Any]) -> dict[str, Any]:
    return {**levels, "events_default": level}


def summary(room: LiveRoom) -> dict[str, Any]:
    """What a group shows to whoever may know of it."""
    levels = room.power_levels
    alias = room.content("m.room.canonical_alias").get("alias")
    return {
        "gid": room.room_id,
        "cid": room.room_id,
        "number": alias[1:].partition(":")[0] if isinstance(alias, str) else None,
        "name": _text(room, "m.room.name", "name") or "",
        "description": _text(room, "m.room.topic", "topic"),
        "avatar": _text(room, "m.room.avatar", "url"),
        "creator": room.create_event.sender,
        "created_ts": room.create_event.origin_server_ts,
        "owner": owner_of(room),
        "member_count": len(room.joined),
        "join_mode": join_mode_of(room),
        "invite_permission": "admin" if levels.invite >= ADMIN else "all",
        "history": "joined" if room.history_visibility == "joined" else "shared",
        "muted_all": levels.events_default >= ADMIN,
        "encrypted": room.is_encrypted,
        "dissolved": is_dissolved(room),
    }


def _found(chunk: dict[str, Any]) -> dict[str, Any]:
    """A row of a directory as a search result."""
    alias = chunk.get("canonical_alias")
    rule = chunk.get("join_rule", "public")
    return {
        "gid": chunk.get("room_id"),
        "number": alias[1:].partition(":")[0] if isinstance(alias, str) else None,
        "alias": alias,
        "name": chunk.get("name", ""),
        "description": chunk.get("topic"),
        "avatar": chunk.get("avatar_url"),
        "member_count": chunk.get("num_joined_members", 0),
        "join_mode": {"public": "open", "knock": "approval"}.get(str(rule), "invite"),
    }


def _text(room: LiveRoom, event_type: str, key: str) -> str | None:
    value = room.content(event_type).get(key)
    return value if isinstance(value, str) and value else None
