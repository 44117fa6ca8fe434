"""Services that stand on rooms and sync: each is built here, and only what they do is known to the rest."""

from __future__ import annotations

from config import Config
from homeserver.app.appservices import AppserviceServices
from homeserver.app.federation import Federation
from homeserver.app.legacy import legacy_sync_handlers
from homeserver.app.push import PushServices
from homeserver.app.rooms import RoomServices
from homeserver.app.search import SearchServices
from homeserver.app.spaces import SpaceServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.sync import SyncServices
from homeserver.app.users import Users
from homeserver.appservices.directory import Appservices
from homeserver.presence.presence import Presence
from homeserver.rooms.log_tail import LogTail
from homeserver.sync.composer import Extras
from homeserver.users.mail.mailer import Mailer


class Features:
    """Spaces, push, search, application services and the ways of old clients."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        rooms: RoomServices,
        sync: SyncServices,
        presence: Presence,
        presence_section: Extras,
        federation: Federation,
        appservices: Appservices,
        mailer: Mailer,
    ) -> None:
        tail = LogTail(surroundings.database, surroundings.notifier)
        self.spaces = SpaceServices(config, surroundings, rooms, federation.client)
        self.appservices = AppserviceServices(config, surroundings, rooms, presence, appservices, tail)
        self.push = PushServices(config, surroundings, users, rooms, tail, mailer)
        self.search = SearchServices(config, surroundings, rooms, tail)
        self._legacy = legacy_sync_handlers(surroundings, rooms, sync, presence_section)

    def handlers(self) -> list[object]:
        """Their endpoints, for the router."""
        return [
            *self.spaces.handlers(),
            *self.appservices.handlers(),
            *self.push.handlers(),
            *self.search.handlers(),
            *self._legacy,
        ]

    async def start(self) -> None:
        """Begin what runs by itself."""
        await self.appservices.start()
        await self.push.start()
        self.search.start()

    async def stop(self) -> None:
        self.search.stop()
        await self.push.stop()
        await self.appservices.stop()
