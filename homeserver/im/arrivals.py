"""Who comes into a room without being asked again: whoever has knocked, and friends to one another's moments.

It follows the log, so it makes no difference who let them in, from which client or from which server. Another server
that invites one of ours may not be ready for them yet, or may be away: they try again for a while, and after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from homeserver.errors import HearthError
from homeserver.events.event import Event
from homeserver.ids import NAMESPACE, RoomID, ServerName, UserID, domain_of
from homeserver.im.group_shapes import GROUP
from homeserver.im.moment_shapes import MOMENT, MOMENTS, POST
from homeserver.rooms.history import Earlier
from homeserver.rooms.membership import Memberships
from homeserver.rooms.registry import Rooms
from homeserver.rooms.stripped import StrippedStates
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import LogEntry, LogKind
from homeserver.runtime.tasks import Tasks
from homeserver.users.account_data import Tags
from homeserver.users.push_rules import NewRule, PushRules
from storage import im_arrivals, im_directs
from storage.database import Database

_log = structlog.get_logger(__name__)

AGAIN_AFTER_S = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
LAST = "m.lowpriority"
QUIET = f"{NAMESPACE}moments"
_ESCAPED = MOMENT.replace(".", "\\.")
_IS_POST = {
    "kind": "event_property_is",
    "key": f"content.{_ESCAPED}.kind",
    "value": POST,
}


class Friendships(Protocol):
    async def settled(self) -> None: ...

    async def are_friends(self, one: UserID, other: UserID) -> bool: ...


class Pasts:
    """What was posted before this server came into a room of moments."""

    def __init__(self, rooms: Rooms, earlier: Earlier | None) -> None:
        self._rooms = rooms
        self._earlier = earlier

    async def fetch(self, room_id: RoomID) -> None:
        """Have some of it: what is older still is fetched by whoever reads the room so far back."""
        room = await self._rooms.find_or_load(room_id)
        if room is not None and room.has_gap and self._earlier is not None:
            await self._earlier.fetch(room)


class QuietMoments:
    """Keeps posts from ringing phones: one rule for all of them, below those for whoever is mentioned."""

    def __init__(self, rules: PushRules) -> None:
        self._rules = rules

    async def begin(self, user_id: UserID) -> None:
        """Have the rule, unless the user has it, perhaps switched off."""
        present = await self._rules.load(user_id)
        if all(rule["rule_id"] != QUIET for rule in present["underride"]):
            await self._rules.set_rule(user_id, "underride", NewRule(QUIET, [], [_IS_POST]))


class Doors:
    """How a user gets in, and what is known of the room before."""

    def __init__(
        self,
        memberships: Memberships,
        stripped: StrippedStates,
        tags: Tags,
        quiet: QuietMoments,
        pasts: Pasts,
    ) -> None:
        self._memberships = memberships
        self._quiet = quiet
        self._pasts = pasts
        self._stripped = stripped
        self._tags = tags

    async def type_of(self, room_id: RoomID, user_id: UserID) -> Any:
        for event in await self._stripped.of(room_id, user_id):
            if event.get("type") == "m.room.create":
                content = event.get("content")
                return content.get("type") if isinstance(content, dict) else None
        return None

    async def enter(self, room_id: RoomID, user_id: UserID, inviter: UserID) -> None:
        await self._memberships.join(room_id, user_id, servers=[domain_of(inviter)])

    async def enter_moments(self, room_id: RoomID, user_id: UserID, author: UserID) -> None:
        """Stock clients list these rooms with the others: let them be at the end."""
        await self.enter(room_id, user_id, author)
        await self._tags.set(user_id, room_id, LAST, {})
        await self._quiet.begin(user_id)
        await self._pasts.fetch(room_id)


class Arrivals:
    """Joins local users to rooms that have let them in."""

    def __init__(
        self,
        db: Database,
        friendships: Friendships,
        doors: Doors,
        clock: Clock,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._friendships = friendships
        self._doors = doors
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        self._timers: dict[tuple[RoomID, UserID], Timer] = {}

    async def start(self) -> None:
        """Deal with those who were let in before the server stopped."""
        for room_id, user_id, inviter, knocked in await self._db.read(im_arrivals.waiting):
            self._try(room_id, user_id, inviter, knocked=knocked, tries=0)

    def stop(self) -> None:
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def heard(self, entries: Sequence[LogEntry]) -> None:
        """A listener of the notifier."""
        for entry in entries:
            if entry.kind is LogKind.EVENT and isinstance(entry.payload, TimelineEvent):
                self._consider(entry.payload.event, entry.payload.replaced)

    def _consider(self, event: Event, before: Event | None) -> None:
        if event.type != "m.room.member" or event.content.get("membership") != "invite":
            return
        user_id = UserID(event.state_key or "")
        knocked = before is not None and before.content.get("membership") == "knock"
        if domain_of(user_id) == self._server_name and (
            knocked or domain_of(event.sender) != self._server_name
        ):
            self._try(event.room_id, user_id, event.sender, knocked=knocked, tries=0)

    def _try(self, room_id: RoomID, user_id: UserID, inviter: UserID, *, knocked: bool, tries: int) -> None:
        self._timers.pop((room_id, user_id), None)
        self._tasks.spawn(
            f"arrival of {user_id}", self._arrive(room_id, user_id, inviter, knocked=knocked, tries=tries)
        )

    async def _arrive(
        self, room_id: RoomID, user_id: UserID, inviter: UserID, *, knocked: bool, tries: int
    ) -> None:
        await self._friendships.settled()
        if not await self._db.read(im_arrivals.is_invited, room_id, user_id, inviter):
            return
        try:
            kind = await self._doors.type_of(room_id, user_id)
            if kind == MOMENTS:
                if await self._friendships.are_friends(user_id, inviter):
                    await self._doors.enter_moments(room_id, user_id, inviter)
            elif knocked and (kind == GROUP or await self._is_theirs(room_id, user_id)):
                await self._doors.enter(room_id, user_id, inviter)
        except HearthError as error:
            # They have the invitation, and can take it by hand.
            _log.info("cannot come in yet", room=room_id, user=user_id, tries=tries, reason=str(error))
            if tries < len(AGAIN_AFTER_S):
                self._timers[room_id, user_id] = self._clock.call_later(
                    AGAIN_AFTER_S[tries], lambda: self._again(room_id, user_id, inviter, knocked, tries + 1)
                )

    def _again(self, room_id: RoomID, user_id: UserID, inviter: UserID, knocked: bool, tries: int) -> None:  # noqa: FBT001  # called here only
        self._try(room_id, user_id, inviter, knocked=knocked, tries=tries)

    async def _is_theirs(self, room_id: RoomID, user_id: UserID) -> bool:
        return await self._db.read(im_directs.find, user_id, room_id) is not None
