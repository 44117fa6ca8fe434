"""Services that stand on rooms and sync: each is built here, and only what they do is known to the rest."""

from __future__ import annotations

from config import Config
from homeserver.app.federation import Federation
from homeserver.app.legacy import legacy_sync_handlers
from homeserver.app.rooms import RoomServices
from homeserver.app.spaces import SpaceServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.sync import SyncServices
from homeserver.app.users import Users
from homeserver.sync.composer import Extras


class Features:
    """Spaces, push, search, application services and the ways of old clients."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        rooms: RoomServices,
        sync: SyncServices,
        presence: Extras,
        federation: Federation,
    ) -> None:
        self.spaces = SpaceServices(config, surroundings, rooms, federation.client)
        self._legacy = legacy_sync_handlers(surroundings, rooms, sync, presence)

    def handlers(self) -> list[object]:
        """Their endpoints, for the router."""
        return [*self.spaces.handlers(), *self._legacy]
