"""What friendships need without anybody asking: requests run out."""

from __future__ import annotations

import structlog

from homeserver.errors import HearthError
from homeserver.ids import ServerName, domain_of
from homeserver.im.direct_rooms import EXPIRED
from homeserver.im.follower import Follower
from homeserver.im.friend_requests import RequestWriting
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from storage import im_directs
from storage.database import Database

_log = structlog.get_logger(__name__)

AT_ONCE = 100
LONGEST_WAIT_S = 3600.0


class RequestExpiry:
    """Takes back the requests of local users whose time is up."""

    def __init__(
        self,
        db: Database,
        follower: Follower,
        writing: RequestWriting,
        clock: Clock,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._follower = follower
        self._writing = writing
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        self._timer: Timer | None = None

    async def start(self) -> None:
        await self._work()

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _run(self) -> None:
        self._tasks.spawn("expiry of friend requests", self._work())

    async def _work(self) -> None:
        await self._follower.settled()
        now_ms = self._clock.now_ms()
        wait_s = LONGEST_WAIT_S
        for request in await self._db.read(im_directs.expiring, AT_ONCE):
            assert request.expires_ms is not None
            if request.expires_ms > now_ms:
                wait_s = min(wait_s, (request.expires_ms - now_ms) / 1000)
                break
            if domain_of(request.sender) == self._server_name:
                try:
                    await self._writing.cancel(request, EXPIRED)
                except HearthError as error:
                    _log.info("cannot take back a friend request", room=request.room_id, reason=str(error))
        self._timer = self._clock.call_later(max(wait_s, 60.0), self._run)
