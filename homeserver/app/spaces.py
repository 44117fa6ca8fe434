"""Spaces and summaries, built of their parts."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.client_api.spaces import SpaceEndpoints
from homeserver.rooms.mutual import MutualRooms
from homeserver.rooms.spaces import Spaces
from homeserver.rooms.summaries import RemoteSpaces, Summaries


class SpaceServices:
    """What rooms are like from outside; `spaces.server_view` is what other servers are told."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        rooms: RoomServices,
        remote: RemoteSpaces | None = None,
    ) -> None:
        self.summaries = Summaries(
            rooms.rooms, rooms.memberships, remote, server_name=config.server.server_name
        )
        self.spaces = Spaces(self.summaries, surroundings.randomness)
        self._mutual_rooms = MutualRooms(surroundings.database)
        self._directory = rooms.directory

    def handlers(self) -> list[object]:
        return [SpaceEndpoints(self.spaces, self.summaries, self._directory, self._mutual_rooms)]
