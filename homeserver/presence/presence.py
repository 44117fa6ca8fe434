"""Keeps everybody's presence: users are online while their devices follow, away when idle, offline when gone.

What a user chose (a state, a status message) is stored; that a device follows is only remembered. Over both stands the
mode: a user who is invisible is offline to everybody, whatever their devices say, and one who is away or busy is never
online. While a mode hides them, nothing of what they do is told, and nothing is lost: when it ends, they are what their
devices say.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from homeserver.ids import UserID
from homeserver.presence.modes import Mode
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
        self._modes: dict[UserID, Mode] = {}
        self._unsaid: dict[UserID, str | None] = {}
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
        elif presence != OFFLINE:
            self._following[user_id] = _Following(now_ms, presence)
            self._check_later()
        if self.is_hidden(user_id):
            # They were last active when they hid; what they say now is said when they come back.
            self._unsaid[user_id] = status_msg
            active_ms = (await self.load(user_id)).last_active_ms
            await self._db.run(presence_rows.save, user_id, presence, status_msg, active_ms)
            return
        self._change(
            user_id,
            PresenceState(presence, status_msg, now_ms, currently_active=presence == ONLINE),
        )
        await self._db.run(presence_rows.save, user_id, presence, status_msg, now_ms)

    def set_mode(self, user_id: UserID, mode: Mode | None) -> None:
        """Let a mode stand over what the user's devices say, or none any more."""
        if mode is self._modes.get(user_id):
            return
        if mode is None:
            del self._modes[user_id]
        else:
            self._modes[user_id] = mode
        state = self._states.get(user_id)
        following = self._following.get(user_id)
        if state is None and following is None:
            return
        state = state or PresenceState()
        if user_id in self._unsaid and not self.is_hidden(user_id):
            state = replace(state, status_msg=self._unsaid.pop(user_id))
        if not self.is_hidden(user_id) and following is not None:
            # Back from hiding, or from being away: as the devices say.
            wanted = following.wanted
            state = PresenceState(
                wanted, state.status_msg, self._clock.now_ms(), currently_active=wanted == ONLINE
            )
        self._change(user_id, state)

    def mode_of(self, user_id: UserID) -> Mode | None:
        return self._modes.get(user_id)

    def is_hidden(self, user_id: UserID) -> bool:
        """Whether the user is offline to everybody because they want to be."""
        mode = self._modes.get(user_id)
        return mode is not None and mode.ceiling == OFFLINE

    def is_invisible(self, user_id: UserID) -> bool:
        """Whether nothing may show that the user is there: not that they write, not what they read."""
        return self._modes.get(user_id) is Mode.INVISIBLE

    def syncing(self, user_id: UserID, set_presence: str) -> None:
        """A device of the user follows, and wants them to be shown like this; "offline" leaves no trace."""
        if not self.enabled or set_presence == OFFLINE:
            return
        now_ms = self._clock.now_ms()
        following = self._following.get(user_id)
        if following is not None and following.wanted == set_presence:
            following.seen_ms = now_ms
            state = self._states.get(user_id)
            if state is not None and state.presence == self._under(user_id, set_presence):
                return
        else:
            self._following[user_id] = _Following(now_ms, set_presence)
            self._check_later()
        if self.is_hidden(user_id):
            return
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
        if not self.enabled or self.is_hidden(user_id):
            return
        state = self._states.get(user_id)
        if state is None or user_id not in self._following:
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
        shown = self._under(user_id, state.presence)
        if shown != state.presence:
            state = replace(state, presence=shown, currently_active=False)
        if state == self._states.get(user_id):
            return
        self._remember(user_id, state)
        self._notifier.announce_ephemeral("presence", None, user_id)
        for listener in self._listeners:
            listener(user_id, state)

    def _under(self, user_id: UserID, presence: str) -> str:
        """What of a presence the user's mode lets through."""
        mode = self._modes.get(user_id)
        if mode is None or presence == OFFLINE:
            return presence
        return mode.ceiling

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
