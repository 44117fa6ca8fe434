"""Moments of the IM API, built of their parts."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.im.acquaintance import Acquaintances
from homeserver.im.arrivals import Doors, Pasts
from homeserver.im.follower import Follower
from homeserver.im.follows import Follows
from homeserver.im.moment_circles import CircleRooms, MomentCircles
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
        follower: Follower,
        friends: Acquaintances,
        doors: Doors,
        pasts: Pasts,
    ) -> None:
        db, server_name = surroundings.database, config.server.server_name
        clock, tasks = surroundings.clock, surroundings.tasks
        defaults = MomentsDefaults(config.im.moments_room_version, server_name)
        moments_rooms = MomentsRooms(db, follower, rooms.creation, rooms.aliases, defaults)
        moments = Moments(db, moments_rooms, rooms.sending, rooms.access)
        circle_rooms = CircleRooms(rooms.rooms, moments_rooms, rooms.memberships, doors)
        self.circles = MomentCircles(db, friends, circle_rooms, clock, tasks, server_name=server_name)
        surroundings.notifier.subscribe(self.circles.heard)
        follows = Follows(moments_rooms, rooms.directory, rooms.memberships, pasts)
        timeline = MomentTimeline(db, follower, moments, friends, clock)
        self._endpoints = MomentEndpoints(moments, timeline, follows)

    def handlers(self) -> list[object]:
        return [self._endpoints]

    async def start(self) -> None:
        await self.circles.start()

    def stop(self) -> None:
        self.circles.stop()
