"""Groups, moments, calls and the web page of the IM API."""

from __future__ import annotations

from config import Config
from homeserver.app.groups import GroupServices
from homeserver.app.moments import MomentServices
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.http.route_cache import RouteCache
from homeserver.im.acquaintance import Acquaintances
from homeserver.im.arrivals import Arrivals, Doors, Pasts, QuietMoments
from homeserver.im.calls import Calls
from homeserver.im.follower import Follower
from homeserver.im.speaking import Speaking
from homeserver.im_api.calls import CallEndpoints
from homeserver.im_api.page import PageEndpoints
from homeserver.users.account_data import Tags
from homeserver.users.push_rules import PushRules
from homeserver.users.turn import TurnCredentials


class SocialServices:
    """What people do together, beyond talking to one another."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        rooms: RoomServices,
        follower: Follower,
        speaking: Speaking,
        push_rules: PushRules,
        cache: RouteCache,
    ) -> None:
        self._follower = follower
        friends = Acquaintances(surroundings.database, follower)
        tags = Tags(surroundings.database)
        pasts = Pasts(rooms.rooms, rooms.earlier)
        doors = Doors(rooms.memberships, rooms.stripped, tags, QuietMoments(push_rules), pasts)
        self.arrivals = Arrivals(
            surroundings.database,
            friends,
            doors,
            surroundings.clock,
            surroundings.tasks,
            server_name=config.server.server_name,
        )
        surroundings.notifier.subscribe(self.arrivals.heard)
        self.groups = GroupServices(config, surroundings, rooms, friends, cache)
        self.moments = MomentServices(config, surroundings, rooms, follower, friends, doors, pasts)
        self.calls = Calls(surroundings.database, rooms.sending, speaking, surroundings.randomness)
        surroundings.notifier.subscribe(self.calls.heard)
        turn = TurnCredentials(config.turn, surroundings.clock)
        self._call_endpoints = CallEndpoints(self.calls, turn)
        web = config.web_client
        self._page: list[object] = [PageEndpoints(web.redirect)] if web.enabled else []

    def handlers(self) -> list[object]:
        return [*self.groups.handlers(), *self.moments.handlers(), self._call_endpoints, *self._page]

    async def start(self) -> None:
        await self.calls.start()
        self.groups.start()
        await self.moments.start()
        await self.arrivals.start()

    def begin_stopping(self) -> None:
        self.groups.stop()
        self.arrivals.stop()
        self.moments.stop()
        self._follower.stop()
