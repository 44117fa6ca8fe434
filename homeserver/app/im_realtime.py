"""The realtime stream of the IM API, built of its parts: the sync engine with another composer."""

from __future__ import annotations

from homeserver.app.im import ImServices
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.sync import SyncServices
from homeserver.app.users import Users
from homeserver.http.rate_limit import RateLimiter
from homeserver.im.calls import Calls
from homeserver.im.presence import OwnPresence
from homeserver.im.realtime_dialect import RealtimeDialect
from homeserver.im.realtime_ops import RealtimeOps, Talking, session_ops
from homeserver.im.update_rooms import RoomUpdates
from homeserver.im.updates import UpdatesComposer, UpdateSources
from homeserver.im_api.realtime import RealtimeEndpoints
from homeserver.sync.long_poll import LongPolls
from homeserver.sync.socket import Acknowledger, SocketServices


class RealtimeServices:
    """What follows conversations."""

    def __init__(
        self,
        surroundings: Surroundings,
        users: Users,
        rooms: RoomServices,
        sync: SyncServices,
        im: ImServices,
        calls: Calls,
        presence: OwnPresence,
        limiter: RateLimiter,
        acknowledger: Acknowledger,
    ) -> None:
        talk, clock = im.talk, surroundings.clock
        updates = RoomUpdates(surroundings.database, im.follower, rooms.rooms, talk.views, rooms.stripped)
        sources = UpdateSources(talk.conversations, talk.muting, im.people)
        composer = UpdatesComposer(surroundings.database, sync.composer, updates, sources)
        self._polls = LongPolls(sync.feeds, composer, clock)
        talking = Talking(
            talk.messages,
            talk.conversations,
            talk.own_view,
            talk.deliveries,
            rooms.typing,
            rooms.access,
            calls,
            presence,
        )
        services = SocketServices(
            self._polls,
            sync.clients,
            clock,
            surroundings.tasks,
            RealtimeOps(talking, limiter).by_name(),
            acknowledger,
            RealtimeDialect(),
            session_ops,
        )
        self._endpoints = RealtimeEndpoints(services, users.authenticator)

    def handlers(self) -> list[object]:
        return [self._endpoints]

    def begin_stopping(self) -> None:
        self._polls.stop()
