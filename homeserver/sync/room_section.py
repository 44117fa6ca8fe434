"""One joined room in a `/sync` answer: its timeline, the state before it, its summary, and what is the reader's own.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from homeserver.events.client_format import client_event_json
from homeserver.events.event import Event
from homeserver.events.heroes import heroes
from homeserver.events.state_tree import NodeHash
from homeserver.ids import StateKey, UserID
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.ephemeral import receipt_event, receipts_after, typing_event
from homeserver.sync.feeds import RoomView
from homeserver.sync.fragments import FragmentKey, Fragments
from homeserver.sync.lazy_members import LazyMembers
from homeserver.sync.request import SyncRequest
from storage.concealment import Concealment

_encode = msgspec.json.encode


@dataclass(slots=True)
class Look:
    """One reader's look at one room: from where (None: from the beginning) to where."""

    request: SyncRequest
    room: LiveRoom
    view: RoomView
    since: StreamToken | None
    until: StreamToken
    ignored: frozenset[UserID]
    concealed: Concealment | None = None
    """What the reader has hidden of the room."""

    @property
    def is_first(self) -> bool:
        """Whether the reader needs the room as if they had never seen it."""
        return self.since is None or self.view.joined_at > self.since.position

    @property
    def after(self) -> int:
        return -1 if self.since is None or self.is_first else self.since.position


@dataclass(slots=True)
class Window:
    """The part of a timeline that an answer carries. `start` is the first event's predecessor in the log."""

    events: list[TimelineEvent]
    limited: bool
    start: int


class RoomSections:
    """Builds the sections of joined rooms."""

    def __init__(self, history: History, state_at: StateAt, fragments: Fragments, lazy: LazyMembers) -> None:
        self._history = history
        self._state_at = state_at
        self._fragments = fragments
        self._lazy = lazy

    def ready(self, look: Look) -> bytes | None:
        """The shared part of the section, if memory alone can answer; None if it takes `build`."""
        if not self._is_shared(look):
            return None
        key = self._key(look)
        fragment = self._fragments.find(key)
        if fragment is not None:
            return fragment
        if look.is_first or look.request.full_state or look.request.filter.room.lazy_members:
            return None
        wanted = look.request.filter.room
        if not (wanted.timeline.is_default and wanted.state.is_default):
            # Of what a filter holds back some may be state, which then comes beside the timeline.
            return None
        room = look.room
        if look.after < room.completed_at:
            return None
        events = room.timeline.between(look.after, look.until.position)
        limit = wanted.timeline.limit
        if events is None or len(events) > limit or (events and events[0].event.state_key is not None):
            return None
        if any(event.event.sender in look.ignored for event in events):
            return None
        if events and events[0].state_before != room.root and not any(event.event.key for event in events):
            return None
        window = Window(events, False, events[0].position - 1 if events else look.until.position)
        if look.request.wants_state_after:
            state: Iterable[Event] = [event.event for event in events if event.event.key is not None]
        else:
            state = ()
        return self._fragments.keep(key, self._encode(look, window, state, personal=False))

    async def build(self, look: Look) -> bytes:
        """The shared part of the section, with the help of the database."""
        shared = self._is_shared(look)
        lazy = look.request.filter.room.lazy_members
        key = self._key(look)
        if shared and not lazy and (fragment := self._fragments.find(key)) is not None:
            return fragment
        window = await self._window(look)
        state = await self._state(look, window)
        if lazy:
            state = self._lazy.reduce(
                look.room,
                look.request.user_id,
                look.request.device_id,
                state,
                window.events,
                is_first=look.is_first or look.request.full_state,
                redundant=look.request.filter.room.redundant_members,
                after_end=look.request.wants_state_after,
            )
        fragment = self._encode(look, window, state.values(), personal=not shared)
        return self._fragments.keep(key, fragment) if shared and not lazy else fragment

    def _is_shared(self, look: Look) -> bool:
        """Whether every member who looks from here to there sees the same."""
        if look.ignored or look.concealed or not look.request.filter.room.is_shareable:
            return False
        if look.is_first and look.room.history_visibility not in ("shared", "world_readable"):
            return False
        request = look.request
        for event in reversed(look.room.timeline):
            if event.position <= look.after:
                break
            if event.event.sender == request.user_id and (
                event.extra_unsigned is not None
                or (event.txn_id is not None and event.device_id == request.device_id)
            ):
                return False
        return True

    @staticmethod
    def _key(look: Look) -> FragmentKey:
        request = look.request
        view = f"{request.filter.key}/{request.state_key}/{int(request.full_state)}"
        return FragmentKey(look.room.room_id, look.after, look.room.position, view)

    async def _window(self, look: Look) -> Window:
        room, wanted = look.room, look.request.filter.room.timeline
        found = await self._history.newest(
            room,
            look.request.user_id,
            until=look.until.position,
            after=None if look.is_first else look.after,
            limit=wanted.limit,
            accept=wanted.matches_timeline,
            ignored=look.ignored,
            # A member sees all that came while they were one.
            trusted=not look.is_first,
        )
        start = found.events[0].position - 1 if found.events else look.until.position
        # A reader who has cleared the room is to drop what their client still has of it.
        cleared_at = 0 if look.concealed is None else look.concealed.cleared_at
        limited = found.more or (not look.is_first and cleared_at > look.after)
        return Window(found.events, limited, start)

    async def _state(self, look: Look, window: Window) -> dict[StateKey, Event]:
        """The state that the answer must carry beside the timeline."""
        room, request = look.room, look.request
        after_end = request.wants_state_after
        if look.is_first or request.full_state:
            first = None if after_end else _first_root(window)
            full = room.state if first is None else await self._state_at.at(room, first)
            return _matching(look, full)
        old = await self._history.root_after(room, look.after)
        first = None if after_end else _first_root(window)
        new = room.root if first is None else first
        if old is None:
            return {}
        changes = await self._state_at.between(room, old, new)
        changed = {key: event for key, event in changes.items() if event is not None}
        if look.after < room.completed_at:
            # The reader was told of the room when not all of its members were known.
            full = await self._state_at.at(room, new)
            changed |= {key: event for key, event in full.items() if key[0] == "m.room.member"}
        return _matching(look, changed)

    def _encode(self, look: Look, window: Window, state: Iterable[Event], *, personal: bool) -> bytes:
        user, device = look.request.user_id, look.request.device_id
        if personal:
            timeline = b",".join([event.json_for(user, device) for event in window.events])
        else:
            timeline = b",".join([event.json for event in window.events])
        parts = [
            b'"timeline":{"events":[',
            timeline,
            b'],"limited":true,"prev_batch":"s' if window.limited else b'],"limited":false,"prev_batch":"s',
            str(window.start).encode(),
            b'_0"}',
        ]
        states = b",".join([client_event_json(event, None) for event in state])
        if states or look.request.wants_state_after:
            parts += [b',"', look.request.state_key.encode(), b'":{"events":[', states, b"]}"]
        return b"".join(parts)

    def own_part(self, look: Look, account_data: Sequence[bytes]) -> bytes:
        """What only this reader gets: unread counts, ephemeral events, account data, and heroes that leave them out."""
        parts: list[bytes] = []
        ephemeral = self._ephemeral(look)
        if ephemeral:
            parts += [b',"ephemeral":{"events":[', b",".join(ephemeral), b"]}"]
        if account_data:
            parts += [b',"account_data":{"events":[', b",".join(account_data), b"]}"]
        if look.is_first or look.room.state_position > look.after:
            parts += [b',"summary":', _encode(summary(look.room, look.request.user_id))]
        parts.append(self._unread(look))
        return b"".join(parts)

    @staticmethod
    def _ephemeral(look: Look) -> list[bytes]:
        room, wanted = look.room, look.request.filter.room.ephemeral
        events: list[bytes] = []
        if wanted.includes_type("m.receipt"):
            receipts = receipts_after(room, look.request.user_id, look.after)
            if receipts:
                events.append(_encode(receipt_event(receipts)))
        if wanted.includes_type("m.typing"):
            if look.is_first or look.since is None:
                changed = bool(room.typing)
            else:
                changed = room.typing_position > look.since.ephemeral
            if changed:
                events.append(_encode(typing_event(room)))
        return events

    @staticmethod
    def _unread(look: Look) -> bytes:
        counts = look.room.unread.find(look.request.user_id)
        if counts is None:
            return b""
        if not look.request.filter.room.timeline.unread_thread_notifications:
            return b',"unread_notifications":{"highlight_count":%d,"notification_count":%d}' % (
                counts.all_highlight,
                counts.all_notify,
            )
        unread = b',"unread_notifications":{"highlight_count":%d,"notification_count":%d}' % (
            counts.highlight,
            counts.notify,
        )
        if not counts.threads:
            return unread
        threads = {
            root: {"notification_count": notify, "highlight_count": highlight}
            for root, (notify, highlight) in counts.threads.items()
        }
        return unread + b',"unread_thread_notifications":' + _encode(threads)


def _first_root(window: Window) -> NodeHash | None:
    return window.events[0].state_before if window.events else None


def _matching(look: Look, state: Mapping[StateKey, Event]) -> dict[StateKey, Event]:
    wanted = look.request.filter.room.state
    if wanted.is_default:
        return dict(state)
    return {key: event for key, event in state.items() if wanted.matches(event)}


def summary(room: LiveRoom, user_id: UserID) -> dict[str, object]:
    """The room summary: who is in it, for clients that know not all members."""
    counts: dict[str, object] = {
        "m.joined_member_count": len(room.joined),
        "m.invited_member_count": len(room.invited),
    }
    found = heroes(room.state, user_id)
    if found:
        counts["m.heroes"] = found
    return counts
