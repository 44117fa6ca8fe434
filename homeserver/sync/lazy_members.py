"""Lazy-loaded members: only those member events that a device needs and has not been sent.

Spec: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from homeserver.events.event import Event
from homeserver.events.heroes import heroes
from homeserver.ids import DeviceID, RoomID, StateKey, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.timeline import TimelineEvent

REMEMBERED = 20_000
_SentKey = tuple[UserID, DeviceID | None, RoomID]


class LazyMembers:
    """Remembers which member events each device has; forgetting only costs bytes."""

    def __init__(self) -> None:
        self._sent: OrderedDict[_SentKey, dict[str, str]] = OrderedDict()

    def reduce(
        self,
        room: LiveRoom,
        user_id: UserID,
        device_id: DeviceID | None,
        state: Mapping[StateKey, Event],
        timeline: Iterable[TimelineEvent],
        *,
        is_first: bool,
        redundant: bool,
        after_end: bool = False,
        summarised: bool = False,
    ) -> dict[StateKey, Event]:
        """The state without the members that nobody in `timeline` is, and with those who are and were not sent.

        With `after_end` it is the state after the timeline, and clients do not take state from the timeline itself.
        Whoever is `summarised` as a hero is told of as well.
        """
        sent = self._known(user_id, device_id, room.room_id, forget=is_first)
        in_timeline = {event.event.key for event in timeline if event.event.key is not None}
        reduced = {key: event for key, event in state.items() if key[0] != "m.room.member" or not is_first}
        needed = {event.event.sender for event in timeline}
        if is_first:
            needed.add(user_id)
        if is_first or summarised:
            needed.update(UserID(hero) for hero in heroes(room.state, user_id))
        if after_end:
            needed.update(UserID(user) for kind, user in in_timeline if kind == "m.room.member")
            in_timeline = set()
        for user in needed:
            key: StateKey = ("m.room.member", user)
            member = state.get(key) or room.state.get(key)
            if member is None or key in in_timeline:
                continue
            if redundant or sent.get(user) != member.event_id:
                reduced[key] = member
                sent[user] = member.event_id
        return reduced

    def _known(
        self, user_id: UserID, device_id: DeviceID | None, room_id: RoomID, *, forget: bool
    ) -> dict[str, str]:
        key = (user_id, device_id, room_id)
        known = {} if forget else self._sent.pop(key, {})
        self._sent[key] = known
        self._sent.move_to_end(key)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        return known
