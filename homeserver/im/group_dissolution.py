"""The end of a group: at once nobody can talk or come in, then a job removes the members, and the owner leaves last.

Matrix cannot delete a room elsewhere. What it has is power levels, which every server obeys, and a state event of ours
by which other servers' facades show the group as dissolved even before their users are removed.
"""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden, NotFound
from homeserver.ids import RoomID, UserID
from homeserver.im.group_making import GroupNumbers
from homeserver.im.group_shapes import DISSOLVED, OWNER
from homeserver.im.groups import Groups
from homeserver.rooms.directory import Directory
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import Memberships
from homeserver.rooms.writer import Draft, RoomWriter
from homeserver.runtime.clock import Clock
from storage import jobs
from storage.database import Database
from storage.jobs import BackgroundJob, BackgroundJobs, Progress
from storage.transaction import Transaction

DISSOLVE = "im_dissolve"
REMOVED_AT_ONCE = 50


class GroupDissolution:
    """Dissolves groups."""

    def __init__(
        self,
        db: Database,
        groups: Groups,
        writer: RoomWriter,
        memberships: Memberships,
        aftermath: Aftermath,
        background: BackgroundJobs,
    ) -> None:
        self._db = db
        self._groups = groups
        self._writer = writer
        self._memberships = memberships
        self._aftermath = aftermath
        self._background = background
        background.register(DISSOLVE, self._step)

    async def begin(self, gid: RoomID, owner: UserID, reason: str | None) -> str:
        """Silence the group now and remove its members in the background; the name of the job.

        Raises:
            Forbidden: the user is not the owner.
            GroupDissolved: it is dissolved already.
        """
        room = await self._groups.load_joined(gid, owner)
        if room.power_levels.user(owner) < OWNER:
            raise Forbidden("only the owner dissolves a group")
        await self._writer.append(room, self._last_words(room, owner, reason))
        await self._aftermath.hide(gid, owner)
        name = f"{DISSOLVE}.{gid[1:]}"
        await self._db.run(self._schedule, name, gid, owner, reason)
        return name

    async def progress(self, name: str, viewer: UserID) -> dict[str, Any]:
        """How far a dissolution has come.

        Raises:
            NotFound: there is no such job of this user's.
        """
        job = await self._db.read(jobs.find, name)
        if job is None or job.kind != DISSOLVE or job.arguments.get("owner") != viewer:
            raise NotFound(f"no job {name}")
        return {"job_id": name, "state": job.state, "removed": job.progress.get("removed", 0)}

    def _schedule(self, txn: Transaction, name: str, gid: RoomID, owner: UserID, reason: str | None) -> None:
        arguments = {"gid": gid, "owner": owner, "reason": reason}
        self._background.schedule(txn, name, DISSOLVE, arguments)

    def _last_words(self, room: LiveRoom, owner: UserID, reason: str | None) -> list[Draft]:
        content = {"by": owner, "ts": self._aftermath.now_ms()}
        if reason:
            content["reason"] = reason[:255]
        links = [
            Draft("m.room.third_party_invite", owner, {}, state_key=key)
            for (kind, key), event in room.state.items()
            if kind == "m.room.third_party_invite" and event.content
        ]
        levels = dict(room.content("m.room.power_levels"))
        levels |= {"events_default": OWNER, "state_default": OWNER, "invite": OWNER}
        # What has a level of its own is raised with the rest: not even an admin changes anything any more.
        levels["events"] = dict.fromkeys(levels.get("events", {}), OWNER)
        return [
            Draft(DISSOLVED, owner, content, state_key=""),
            Draft("m.room.join_rules", owner, {"join_rule": "invite"}, state_key=""),
            *links,
            Draft("m.room.power_levels", owner, levels, state_key=""),
        ]

    async def _step(self, job: BackgroundJob) -> Progress | None:
        """Remove some members; when none is left, the owner leaves. Done twice, it does nothing the second time."""
        gid, owner = RoomID(job.arguments["gid"]), UserID(job.arguments["owner"])
        room = await self._groups.find(gid)
        if room is None or not room.is_joined(owner):
            return None
        levels = room.power_levels
        waiting = sorted(
            UserID(user)
            for (kind, user), event in room.state.items()
            if kind == "m.room.member"
            and event.content.get("membership") in ("join", "invite", "knock")
            # A stock client may have made others as powerful as the owner; nobody can remove those.
            and levels.user(user) < OWNER
        )
        reason = job.arguments.get("reason") or "the group has been dissolved"
        for user in waiting[:REMOVED_AT_ONCE]:
            await self._memberships.kick(gid, owner, user, reason=reason)
        if len(waiting) > REMOVED_AT_ONCE:
            return {"removed": int(job.progress.get("removed", 0)) + REMOVED_AT_ONCE}
        await self._memberships.leave(gid, owner, reason=reason)
        return None


class Aftermath:
    """What becomes of a dissolved group's traces outside its room."""

    def __init__(self, directory: Directory, numbers: GroupNumbers, clock: Clock) -> None:
        self._directory = directory
        self._numbers = numbers
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def hide(self, gid: RoomID, owner: UserID) -> None:
        """Nobody finds it any more, and its number is free."""
        await self._directory.set_published(gid, published=False)
        await self._numbers.release(gid, owner)
