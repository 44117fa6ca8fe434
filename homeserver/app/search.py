"""Search, built of its parts."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.client_api.search import SearchEndpoints
from homeserver.rooms.log_tail import LogTail
from homeserver.rooms.search import Search
from homeserver.rooms.search_context import SearchContexts
from homeserver.rooms.search_index import SearchIndex
from homeserver.rooms.user_directory import UserDirectory


class SearchServices:
    """What finds messages and users."""

    def __init__(
        self, config: Config, surroundings: Surroundings, rooms: RoomServices, tail: LogTail
    ) -> None:
        db = surroundings.database
        self.index = SearchIndex(
            db, tail, surroundings.clock, surroundings.tasks, server_name=config.server.server_name
        )
        self._endpoints = SearchEndpoints(
            Search(db, rooms.rooms, rooms.visibility),
            SearchContexts(rooms.rooms, rooms.history, rooms.state_at),
            rooms.access,
            UserDirectory(db, config.directory.user_directory),
            enabled=config.rooms.enable_search,
        )

    def handlers(self) -> list[object]:
        return [self._endpoints]

    def start(self) -> None:
        """Begin to index; the directory of users is kept by the same follower."""
        self.index.start()

    def stop(self) -> None:
        self.index.stop()
