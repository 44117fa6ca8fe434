"""Moments of the IM API, built of their parts."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.im.acquaintance import Acquaintances
from homeserver.im.arrivals import Doors
from homeserver.im.moment_circles import Follows, MomentCircles
from homeserver.im.moment_follower import MomentFollower
from homeserver.im.moment_timeline import MomentTimeline
from homeserver.im.moments import Moments
from homeserver.im.moments_rooms import MomentsDefaults, MomentsRooms
from homeserver.im_api.moments import MomentEndpoints


class MomentServices:
    """The services of moments."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        rooms: RoomServices,
        friends: Acquaintances,
        doors: Doors,
    ) -> None:
        db, server_name = surroundings.database, config.server.server_name
        defaults = MomentsDefaults(config.im.moments_room_version, server_name)
        moments_rooms = MomentsRooms(db, rooms.creation, rooms.aliases, defaults)
        moments = Moments(db, moments_rooms, rooms.sending, rooms.access)
        circles = MomentCircles(
            rooms.rooms,
            moments_rooms,
            rooms.memberships,
            friends,
            doors,
            surroundings.tasks,
            server_name=server_name,
        )
        surroundings.notifier.subscribe(circles.heard)
        self.follower = MomentFollower(db, rooms.rooms, surroundings.notifier, surroundings.tasks)
        follows = Follows(moments_rooms, rooms.directory, rooms.memberships)
        self._endpoints = MomentEndpoints(moments, MomentTimeline(db, moments, friends), follows)

    def handlers(self) -> list[object]:
        return [self._endpoints]

    async def start(self) -> None:
        await self.follower.start()
