"""Notifications by mail: what somebody has left unread for some time, and ever more rarely if they do not look.

Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset (pushers of the kind `email`)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog
from twisted.internet.defer import Deferred

from homeserver.errors import InvalidParam, RemoteError
from homeserver.events.heroes import heroes
from homeserver.ids import RoomID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from homeserver.users.mail.mailer import Mailer
from storage import threepids
from storage.database import Database
from storage.pushers import Progress, PusherRow

LONGEST_PAUSE_MS = 24 * 3600 * 1000
KEPT = 100
SHOWN = 20
"""Messages that one mail shows."""
RETRY_S = 600.0

_log = structlog.get_logger(__name__)


class AddressCheck:
    """Mail goes only to addresses that have been proved to be the user's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def check(self, user_id: UserID, pushkey: str, data: Mapping[str, Any]) -> None:
        """
        Raises:
            InvalidParam: the address is not theirs.
        """
        if await self._db.read(threepids.find_owner, "email", pushkey) != user_id:
            raise InvalidParam("pushkey must be an e-mail address of yours")


@dataclass(frozen=True, slots=True)
class Mailing:
    """What mailing needs, the same for every pusher."""

    mailer: Mailer
    rooms: Rooms
    clock: Clock
    tasks: Tasks
    is_news: Callable[[UserID, TimelineEvent], Awaitable[bool]]
    delay_ms: int
    app_name: str
    room_url: str
    """Where a link to a room leads: the room ID follows."""


class MailDelivery:
    """What waits to be mailed to one address."""

    def __init__(self, pusher: PusherRow, mailing: Mailing, moved: Callable[[MailDelivery], None]) -> None:
        self.pusher = pusher
        self._mailing = mailing
        self._moved = moved
        self._waiting: deque[tuple[TimelineEvent, int]] = deque()
        self._running: Deferred[None] | None = None
        self._last_success_ms = pusher.last_success_ms
        self._failing_since_ms = pusher.failing_since_ms
        self._is_over = False

    @property
    def progress(self) -> Progress:
        place = self._waiting[0][1] - 1 if self._waiting else None
        return Progress(self.pusher.key, place, self._last_success_ms, self._failing_since_ms)

    def add(self, entry: TimelineEvent | None, position: int) -> None:
        """An event is to be told of; a badge (None) is nothing to write about."""
        if entry is None or not self.pusher.enabled or self._is_over:
            return
        self._waiting.append((entry, position))
        while len(self._waiting) > KEPT:
            self._waiting.popleft()
        self._moved(self)
        if self._running is None:
            self._running = self._mailing.tasks.spawn("mail notifications", self._run())

    def stop(self) -> None:
        self._is_over = True
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _run(self) -> None:
        clock = self._mailing.clock
        pause_ms = self._mailing.delay_ms
        while self._waiting and not self._is_over:
            await clock.sleep(pause_ms / 1000)
            waiting = list(self._waiting)
            unread = [
                entry for entry, _ in waiting if await self._mailing.is_news(self.pusher.user_id, entry)
            ]
            if unread:
                try:
                    await self._send(unread)
                except RemoteError as error:
                    _log.info("a mail was not taken", reason=str(error), again_in_s=RETRY_S)
                    self._failing_since_ms = self._failing_since_ms or clock.now_ms()
                    await clock.sleep(RETRY_S)
                    continue
                self._last_success_ms = clock.now_ms()
                self._failing_since_ms = None
                # Whoever does not look is written to more rarely.
                pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)
            else:
                pause_ms = self._mailing.delay_ms
            for one in waiting:
                if self._waiting and self._waiting[0] is one:
                    self._waiting.popleft()
            self._moved(self)
        self._running = None

    async def _send(self, unread: list[TimelineEvent]) -> None:
        by_room: dict[RoomID, list[TimelineEvent]] = {}
        for entry in unread[-SHOWN:]:
            by_room.setdefault(entry.event.room_id, []).append(entry)
        rooms = [await self._room(room_id, entries) for room_id, entries in by_room.items()]
        names = [room["name"] for room in rooms]
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        await self._mailing.mailer.send(
            self.pusher.pushkey,
            "notifications",
            {
                "subject": f"[{self._mailing.app_name}] You have unread messages in {names[0]}{others}",
                "rooms": rooms,
                "left_out": max(0, len(unread) - SHOWN),
            },
        )

    async def _room(self, room_id: RoomID, entries: list[TimelineEvent]) -> dict[str, Any]:
        room = await self._mailing.rooms.find_or_load(room_id)
        messages: list[dict[str, str]] = []
        for entry in entries:
            event = entry.event
            name = None if room is None else room.display_name(event.sender)
            messages.append({"sender": name or event.sender, "text": text_of(entry)})
        title = "a room" if room is None else room_title(room, self.pusher.user_id)
        return {"name": title, "link": self._mailing.room_url + quote(room_id, safe=""), "messages": messages}


def text_of(entry: TimelineEvent) -> str:
    """An event in a few words."""
    content = entry.event.content
    if entry.event.type == "m.room.encrypted":
        return "sent an encrypted message"
    if entry.event.type == "m.room.member":
        return "invited you"
    body = content.get("body")
    return body[:500] if isinstance(body, str) else f"sent {entry.event.type}"


def room_title(room: LiveRoom, user_id: UserID) -> str:
    """What a client would call the room."""
    for event_type, key in (("m.room.name", "name"), ("m.room.canonical_alias", "alias")):
        value = room.content(event_type).get(key)
        if isinstance(value, str) and value:
            return value
    names = [room.display_name(hero) or hero for hero in heroes(room.state, user_id)]
    return ", ".join(names) or "a room"
