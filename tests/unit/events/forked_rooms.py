"""Rooms that fork: a small world of users who act at the same time, for the tests of state resolution."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from homeserver.errors import AuthRejected
from homeserver.events.auth_chain import auth_chain
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.auth_selection import auth_keys
from homeserver.events.event import Event
from homeserver.events.power_levels import CREATE
from homeserver.events.room_versions import RoomVersion
from homeserver.events.state_res import resolve
from homeserver.ids import EventID, RoomID, StateKey, UserID

State = dict[StateKey, EventID]

CREATOR = UserID("@creator:one")
USERS = [
    CREATOR,
    *(UserID(f"@user{n}:{server}") for n, server in enumerate(("one", "two", "two", "three"), 1)),
]


class ForkedRoom:
    """A room whose every event has its state after it, by resolution where branches meet."""

    def __init__(self, version: RoomVersion) -> None:
        self.version = version
        self.events: dict[EventID, Event] = {}
        self.state_after: dict[EventID, State] = {}
        self.rank: dict[EventID, int] = {}
        self.cited_by: dict[EventID, list[Event]] = {}
        self.room_id = RoomID("!create" if version.room_id_is_create_event_id else "!room:one")
        self.loads: list[EventID] = []
        content: dict[str, Any] = {"creator": CREATOR} if version.creator_in_content else {}
        self.root = self.add((), "m.room.create", "", CREATOR, content, event_id="$create")
        joined = self.add((self.root,), "m.room.member", CREATOR, CREATOR, {"membership": "join"})
        users = {} if version.creators_are_almighty else {CREATOR: 100}
        levels = self.add((joined,), "m.room.power_levels", "", CREATOR, {"users": {**users, USERS[1]: 50}})
        self.start = self.add((levels,), "m.room.join_rules", "", CREATOR, {"join_rule": "public"})

    def load(self, event_ids: Collection[EventID]) -> Mapping[EventID, Event]:
        self.loads.extend(event_ids)
        return {event_id: self.events[event_id] for event_id in event_ids if event_id in self.events}

    def state_before(self, prev_events: Collection[EventID]) -> State:
        return resolve([self.state_after[event_id] for event_id in prev_events], self.load, self.version)

    def add(
        self,
        prev_events: tuple[EventID, ...],
        type: str,
        state_key: str,
        sender: UserID,
        content: dict[str, Any],
        *,
        ts: int = 0,
        event_id: str | None = None,
        depth: int | None = None,
    ) -> EventID:
        """A state event after these; raises AuthRejected if the room does not allow it there."""
        before = self.state_before(prev_events)
        keys = auth_keys(type, sender, state_key, content, self.version)
        auth_events = tuple(before[key] for key in keys if key in before)
        true_depth = 1 + max((self.events[event_id].depth for event_id in prev_events), default=0)
        event = Event(
            version=self.version,
            event_id=EventID(f"$event{len(self.events)}" if event_id is None else event_id),
            room_id=self.room_id,
            type=type,
            state_key=state_key,
            sender=sender,
            origin_server_ts=ts,
            depth=true_depth if depth is None else depth,
            json=b"{}",
            content=content,
            prev_events=prev_events,
            auth_events=auth_events,
        )
        if prev_events:
            check_event_auth(
                event, {key: self.events[before[key]] for key in {*keys, CREATE} if key in before}
            )
        self.rank[event.event_id] = len(self.events)
        self.events[event.event_id] = event
        for cited in auth_events:
            self.cited_by.setdefault(cited, []).append(event)
        self.state_after[event.event_id] = {**before, (type, state_key): event.event_id}
        return event.event_id

    def heads(self) -> list[EventID]:
        """The forward extremities."""
        cited = {event_id for event in self.events.values() for event_id in event.prev_events}
        return [event_id for event_id in self.events if event_id not in cited]


_levels = st.sampled_from((0, 25, 50, 100))
_users = st.dictionaries(st.sampled_from(USERS[1:]), _levels, max_size=3)
_memberships = st.sampled_from(("join", "join", "leave", "invite", "ban"))
_join_rules = st.sampled_from(("public", "invite"))
_actions: st.SearchStrategy[tuple[str, str | None, dict[str, Any]]] = st.one_of(
    st.builds(lambda n: ("m.room.topic", "", {"topic": n}), st.integers(0, 9)),
    st.builds(lambda rule: ("m.room.join_rules", "", {"join_rule": rule}), _join_rules),
    st.builds(lambda users: ("m.room.power_levels", "", {"users": users}), _users),
    st.builds(
        lambda user, membership: ("m.room.member", user, {"membership": membership}),
        st.none() | st.sampled_from(USERS),
        _memberships,
    ),
)


@st.composite
def forked_rooms(draw: st.DrawFn, version: RoomVersion) -> ForkedRoom:
    """A room with concurrent bans, demotions, joins and topics, as far as its auth rules allow them."""
    room = ForkedRoom(version)
    latest = [room.start]
    for user in USERS[1:]:
        latest = [room.add(tuple(latest), "m.room.member", user, user, {"membership": "join"}, ts=1)]
    names = draw(st.permutations(range(40)))
    for name in names[: draw(st.integers(4, 24))]:
        # Mostly recent events, seldom two of them: branches grow a little before they meet.
        known = list(room.events)[-6:]
        prev_events = tuple(draw(st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True)))
        event_type, state_key, content = draw(_actions)
        sender = draw(st.sampled_from(USERS))
        if event_type == "m.room.power_levels" and not version.creators_are_almighty:
            content = {"users": {CREATOR: 100, **content["users"]}}
        try:
            room.add(
                prev_events,
                event_type,
                sender if state_key is None else state_key,
                sender,
                content,
                ts=draw(st.integers(2, 6)),
                event_id=f"${name:02}",
                depth=draw(st.none() | st.integers(1, 50)),
            )
        except AuthRejected:
            continue
    return room


def forks_of(room: ForkedRoom, data: st.DataObject) -> list[State]:
    """The states after some of the room's events."""
    heads = data.draw(st.lists(st.sampled_from(list(room.events)), min_size=1, max_size=4, unique=True))
    return [room.state_after[head] for head in heads]


def with_members(version: RoomVersion) -> tuple[ForkedRoom, EventID]:
    """A room in which everybody is joined, and its last event."""
    room = ForkedRoom(version)
    latest = room.start
    for user in USERS[1:]:
        latest = room.add((latest,), "m.room.member", user, user, {"membership": "join"})
    return room, latest


def naive_auth_difference(room: ForkedRoom, forks: Sequence[State]) -> set[EventID]:
    """Union minus intersection of the whole auth chains; an event is part of its own."""
    chains = [set(fork.values()) | auth_chain(fork.values(), room.load).keys() for fork in forks]
    return set[EventID]().union(*chains) - set(chains[0]).intersection(*chains[1:])
