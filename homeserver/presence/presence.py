"""Keeps everybody's presence: users are online while their devices follow, away when idle, offline when gone.

What a user chose (a state, a status message) is stored; that a device follows is only remembered. A user who chose to
be invisible stays offline to all, whatever their devices say.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from homeserver.ids import UserID
from homeserver.presence.states import OFFLINE, ONLINE, UNAVAILABLE, PresenceState
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from storage import presence as presence_rows
from storage.database import Database

GONE_AFTER_MS = 90_000
"""Without a poll for this long a user is offline: longer than a client waits in one."""
IDLE_AFTER_MS = 5 * 60_000
ACTIVE_FOR_MS = 60_000
CHECK_EVERY_S = 15.0
REMEMBERED = 50_000

Listener = Callable[[UserID, PresenceState], None]


@dataclass(slots=True)
class _Following:
    """A local user whose devices follow: when one last asked, and what the last one wanted to be shown as."""

    seen_ms: int
    wanted: str


class Presence:
    """The presence of local users, and what other servers said of theirs."""

    def __init__(self, db: Database, notifier: Notifier, clock: Clock, *, enabled: bool = True) -> None:
        self._db = db
        self._notifier = notifier
        self._clock = clock
        self.enabled = enabled
        self._states: OrderedDict[UserID, PresenceState] = OrderedDict()
        self._following: dict[UserID, _Following] = {}
        self._chosen: dict[UserID, str] = {}
        self._invisible: set[UserID] = set()
        self._listeners: list[Listener] = []
        self._checking = False

    def subscribe(self, listener: Listener) -> None:
        """Be told of every change of a local user: the federation sender passes it on."""
        self._listeners.append(listener)

    def find(self, user_id: UserID) -> PresenceState | None:
        """What memory has of the user's presence."""
        return self._states.get(user_id)

    async def load(self, user_id: UserID) -> PresenceState:
        """The user's presence; whoever is unknown is offline."""
        state = self._states.get(user_id)
        if state is not None:
            return state
        row = await self._db.read(presence_rows.find, user_id)
        if row is None:
            return PresenceState()
        return PresenceState(OFFLINE, row.status_msg, row.last_active_ms)

    async def choose(self, user_id: UserID, presence: str, status_msg: str | None) -> None:
        """The user says what they are, in so many words."""
        if not self.enabled:
            return
        now_ms = self._clock.now_ms()
        self._chosen[user_id] = presence
        following = self._following.get(user_id)
        if following is not None:
            following.wanted = presence
        self._change(
            user_id,
            PresenceState(presence, status_msg, now_ms, currently_active=presence == ONLINE),
        )
        if presence != OFFLINE and following is None:
            self._following[user_id] = _Following(now_ms, presence)
            self._check_later()
        await self._db.run(presence_rows.save, user_id, presence, status_msg, now_ms)

    def set_invisible(self, user_id: UserID, *, invisible: bool) -> None:
        """Show the user as offline to everybody, whatever their devices do, or no longer."""
        if invisible:
            state = self._states.get(user_id, PresenceState())
            self._invisible.add(user_id)
            if state.presence != OFFLINE:
                self._change(user_id, replace(state, presence=OFFLINE, currently_active=False))
        else:
            self._invisible.discard(user_id)

    def is_invisible(self, user_id: UserID) -> bool:
        return user_id in self._invisible

    def syncing(self, user_id: UserID, set_presence: str) -> None:
        """A device of the user follows, and wants them to be shown like this; "offline" leaves no trace."""
        if not self.enabled or set_presence == OFFLINE or user_id in self._invisible:
            return
        now_ms = self._clock.now_ms()
        following = self._following.get(user_id)
        if following is not None and following.wanted == set_presence:
            following.seen_ms = now_ms
            state = self._states.get(user_id)
            if state is not None and state.presence == set_presence:
                return
        else:
            self._following[user_id] = _Following(now_ms, set_presence)
            self._check_later()
        before = self._states.get(user_id, PresenceState())
        if before.presence == UNAVAILABLE and set_presence == ONLINE and self._is_idle(before, now_ms):
            # An idle user's device goes on asking: only something that the user does makes them active again.
            return
        active_ms = now_ms if set_presence == ONLINE else before.last_active_ms
        self._change(
            user_id,
            PresenceState(
                set_presence, before.status_msg, active_ms, currently_active=set_presence == ONLINE
            ),
        )

    def active(self, user_id: UserID) -> None:
        """The user has done something that shows they are there."""
        if not self.enabled or user_id in self._invisible:
            return
        state = self._states.get(user_id)
        if state is None:
            return
        now_ms = self._clock.now_ms()
        fresh = replace(state, last_active_ms=now_ms)
        if state.presence == UNAVAILABLE and self._chosen.get(user_id) != UNAVAILABLE:
            self._change(user_id, replace(fresh, presence=ONLINE, currently_active=True))
        else:
            self._states[user_id] = fresh

    def received(self, user_id: UserID, state: PresenceState) -> None:
        """Another server has said this of its user."""
        if self.enabled:
            self._remember(user_id, state)
            self._notifier.announce_ephemeral("presence", None, user_id)

    @staticmethod
    def _is_idle(state: PresenceState, now_ms: int) -> bool:
        return now_ms - state.last_active_ms > IDLE_AFTER_MS

    def _change(self, user_id: UserID, state: PresenceState) -> None:
        if user_id in self._invisible and state.presence != OFFLINE:
            return
        self._remember(user_id, state)
        self._notifier.announce_ephemeral("presence", None, user_id)
        for listener in self._listeners:
            listener(user_id, state)

    def _remember(self, user_id: UserID, state: PresenceState) -> None:
        self._states[user_id] = state
        self._states.move_to_end(user_id)
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)

    def _check_later(self) -> None:
        if not self._checking:
            self._checking = True
            self._clock.call_later(CHECK_EVERY_S, self._check)

    def _check(self) -> None:
        """Notice who has gone, and who has fallen idle."""
        self._checking = False
        now_ms = self._clock.now_ms()
        for user_id, following in list(self._following.items()):
            state = self._states.get(user_id, PresenceState())
            if now_ms - following.seen_ms > GONE_AFTER_MS:
                del self._following[user_id]
                if state.presence != OFFLINE:
                    self._change(user_id, replace(state, presence=OFFLINE, currently_active=False))
            elif state.presence == ONLINE and self._is_idle(state, now_ms):
                self._change(user_id, replace(state, presence=UNAVAILABLE, currently_active=False))
            elif state.currently_active and now_ms - state.last_active_ms > ACTIVE_FOR_MS:
                self._states[user_id] = replace(state, currently_active=False)
        if self._following:
            self._check_later()
