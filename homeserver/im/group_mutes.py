"""Members who may not speak for a while: the level is taken now, and a job gives it back."""

from __future__ import annotations

from typing import Any

import structlog

from homeserver.errors import InvalidParam, MatrixError
from homeserver.ids import RoomID, UserID
from homeserver.im.group_members import GroupMembers
from homeserver.im.group_shapes import ADMIN
from homeserver.im.groups import Groups
from homeserver.runtime.clock import Clock
from storage import jobs
from storage.database import Database
from storage.jobs import BackgroundJob, BackgroundJobs, Progress
from storage.transaction import Transaction

UNMUTE = "im_group_unmute"
_LONGEST_MS = 366 * 86_400_000
_log = structlog.get_logger(__name__)


class GroupMutes:
    """Mutes members, for ever or for a time."""

    def __init__(
        self, db: Database, groups: Groups, members: GroupMembers, background: BackgroundJobs, clock: Clock
    ) -> None:
        self._db = db
        self._groups = groups
        self._members = members
        self._background = background
        self._clock = clock
        background.register(UNMUTE, self._unmute)

    async def mute(self, gid: RoomID, who: UserID, target: UserID, *, until_ms: int | None) -> None:
        """Mute until then, or until somebody unmutes.

        Raises:
            InvalidParam: that time is past, or more than a year away.
        """
        now_ms = self._clock.now_ms()
        if until_ms is not None and not now_ms < until_ms <= now_ms + _LONGEST_MS:
            raise InvalidParam("muted_until must be in the coming year, in milliseconds")
        await self._members.set_muted(gid, who, target, muted=True)
        await self._db.run(self._reschedule, gid, who, target, until_ms, now_ms)

    async def unmute(self, gid: RoomID, who: UserID, target: UserID) -> None:
        await self._members.set_muted(gid, who, target, muted=False)
        await self._db.run(jobs.cancel, _name(gid, target))

    async def muted_until(self, gid: RoomID, user_id: UserID) -> int | None:
        """When the user may speak again by themselves, if that is known."""
        job = await self._db.read(jobs.find, _name(gid, user_id))
        return None if job is None or job.state != jobs.SCHEDULED else job.not_before_ms

    def _reschedule(
        self, txn: Transaction, gid: RoomID, who: UserID, target: UserID, until_ms: int | None, now_ms: int
    ) -> None:
        jobs.cancel(txn, _name(gid, target))
        if until_ms is not None:
            arguments: dict[str, Any] = {"gid": gid, "by": who, "user_id": target}
            self._background.schedule(txn, _name(gid, target), UNMUTE, arguments, delay_ms=until_ms - now_ms)

    async def _unmute(self, job: BackgroundJob) -> Progress | None:
        """Give the level back: as the admin who took it, or as another if that one is no admin any more."""
        gid, target = RoomID(job.arguments["gid"]), UserID(job.arguments["user_id"])
        room = await self._groups.find(gid)
        if room is None or not room.is_joined(target) or room.power_levels.user(target) >= 0:
            return None
        muter = UserID(job.arguments["by"])
        levels = room.power_levels
        others = [user for user in sorted(room.local_joined) if levels.user(user) >= ADMIN]
        for admin in dict.fromkeys([muter, *others]):
            try:
                await self._members.set_muted(gid, admin, target, muted=False)
            except MatrixError as error:
                _log.info("cannot unmute", group=gid, user=target, by=admin, reason=error.error)
            else:
                return None
        return None


def _name(gid: RoomID, user_id: UserID) -> str:
    return f"{UNMUTE}.{gid}.{user_id}"
