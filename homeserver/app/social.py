"""Groups, moments, calls and the web page of the IM API."""

from __future__ import annotations

from config import Config
from homeserver.app.groups import GroupServices
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.im.acquaintance import DirectFriends


class SocialServices:
    """What people do together, beyond talking to one another."""

    def __init__(self, config: Config, surroundings: Surroundings, rooms: RoomServices) -> None:
        friends = DirectFriends(surroundings.database)
        self.groups = GroupServices(config, surroundings, rooms, friends)

    def handlers(self) -> list[object]:
        return [*self.groups.handlers()]

    async def start(self) -> None:
        self.groups.start()

    def begin_stopping(self) -> None:
        self.groups.stop()
