"""Joins that nobody asks for: of new users, and of those who are invited, where the administrator wants it so.

They follow what has happened, and what fails is noted and hinders nobody: no registration, and no invitation.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from config.registration import AutoAcceptInvites, RegistrationConfig
from homeserver.errors import HearthError, NotFound
from homeserver.ids import RoomAlias, RoomID, ServerName, UserID, domain_of, parse_room_alias
from homeserver.rooms.creation import NewRoom, RoomCreation
from homeserver.rooms.directory import Directory
from homeserver.rooms.membership import Memberships
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from homeserver.users.registration import NewUser
from storage import users
from storage.database import Database

_log = structlog.get_logger(__name__)


class FirstRooms:
    """Takes new users into the rooms that everybody is in, and makes those that are missing."""

    def __init__(
        self,
        db: Database,
        config: RegistrationConfig,
        directory: Directory,
        creation: RoomCreation,
        memberships: Memberships,
        *,
        server_name: ServerName,
        room_version: str,
    ) -> None:
        self._db = db
        self._config = config
        self._aliases = [parse_room_alias(alias) for alias in config.auto_join_rooms]
        self._directory = directory
        self._creation = creation
        self._memberships = memberships
        self._server_name = server_name
        self._room_version = room_version

    async def welcome(self, user: NewUser) -> None:
        """Have a new user join."""
        if user.appservice_id is not None or (user.is_guest and not self._config.auto_join_rooms_for_guests):
            return
        for alias in self._aliases:
            try:
                await self._enter(alias, user)
            except HearthError as error:
                _log.warning("a new user cannot join", user=user.user_id, alias=alias, reason=str(error))

    async def _enter(self, alias: RoomAlias, user: NewUser) -> None:
        host = await self._host(user.user_id)
        try:
            room_id, servers = await self._directory.find(alias)
        except NotFound:
            if user.is_guest or not self._config.autocreate_auto_join_rooms or not self._is_local(alias):
                raise
            room_id, servers = await self._make(alias, host), [self._server_name]
        if user.user_id != host and self._config.autocreate_auto_join_room_preset != "public_chat":
            await self._memberships.invite(room_id, host, user.user_id)
        await self._memberships.join(room_id, user.user_id, servers=servers, is_guest=user.is_guest)

    async def _host(self, newcomer: UserID) -> UserID:
        """Who makes the rooms and invites to them."""
        name = self._config.auto_join_mxid_localpart
        host = UserID(f"@{name}:{self._server_name}")
        return newcomer if name is None or not await self._db.read(users.exists, host) else host

    async def _make(self, alias: RoomAlias, host: UserID) -> RoomID:
        federates = self._config.autocreate_auto_join_rooms_federated
        preset = self._config.autocreate_auto_join_room_preset
        room = await self._creation.create(
            NewRoom(
                host,
                self._room_version,
                preset=preset,
                alias=alias,
                creation_content={} if federates else {"m.federate": False},
            )
        )
        if preset == "public_chat":
            await self._directory.set_published(room.room_id, published=True)
        return room.room_id

    def _is_local(self, alias: RoomAlias) -> bool:
        return domain_of(alias) == self._server_name


class AcceptedInvites:
    """Has local users join what they are invited to."""

    def __init__(
        self,
        config: AutoAcceptInvites,
        memberships: Memberships,
        notifier: Notifier,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._config = config
        self._memberships = memberships
        self._tasks = tasks
        self._server_name = server_name
        notifier.subscribe(self._on_entries)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is not LogKind.EVENT or not isinstance(entry.payload, TimelineEvent):
                continue
            event = entry.payload.event
            if event.type != "m.room.member" or event.content.get("membership") != "invite":
                continue
            invited, inviter = UserID(event.state_key or ""), event.sender
            is_direct = event.content.get("is_direct") is True
            if self._accepts(invited, inviter, is_direct=is_direct):
                self._tasks.spawn(
                    f"join of {invited}, who is invited", self._join(event.room_id, invited, inviter)
                )

    def _accepts(self, invited: UserID, inviter: UserID, *, is_direct: bool) -> bool:
        return (
            domain_of(invited) == self._server_name
            and (is_direct or not self._config.only_for_direct_messages)
            and (domain_of(inviter) == self._server_name or not self._config.only_from_local_users)
        )

    async def _join(self, room_id: RoomID, invited: UserID, inviter: UserID) -> None:
        try:
            await self._memberships.join(room_id, invited, servers=[domain_of(inviter)])
        except HearthError as error:
            _log.info("an invited user cannot join", user=invited, room=room_id, reason=str(error))
