"""Random plays: whatever people do in whatever order, every follower ends with what a newcomer would be told.

A play is a list of acts by several users in several rooms. Followers look in between at times of their own: by
long-poll, by sliding sync and over a WebSocket. At the end each follows to the end of the log, and is compared with a
first look; nobody may have seen an event twice, or one that was not theirs to see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.databases import SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client_state import ClientState
from tests.harness.refusals import Refused
from tests.harness.server import Server
from tests.harness.socket import Socket, opens_socket
from tests.harness.user import User

PEOPLE = ("alice", "bob", "carol")
ROOMS = 2
SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
WINDOW: dict[str, Any] = {
    "lists": {
        "all": {"ranges": [[0, 9]], "timeline_limit": 3, "required_state": [["*", "*"]], "filters": {}}
    },
    "extensions": {"receipts": {"enabled": True}, "account_data": {"enabled": True}},
}

people = st.integers(0, len(PEOPLE) - 1)
rooms = st.integers(0, ROOMS - 1)
acts = st.one_of(
    st.tuples(st.just("says"), people, rooms),
    st.tuples(st.just("says"), people, rooms),
    st.tuples(st.just("joins"), people, rooms),
    st.tuples(st.just("leaves"), people, rooms),
    st.tuples(st.just("invites"), people, rooms, people),
    st.tuples(st.just("kicks"), people, rooms, people),
    st.tuples(st.just("bans"), people, rooms, people),
    st.tuples(st.just("unbans"), people, rooms, people),
    st.tuples(st.just("names"), people, rooms),
    st.tuples(
        st.just("opens"), people, rooms, st.sampled_from(["shared", "joined", "invited", "world_readable"])
    ),
    st.tuples(st.just("reads"), people, rooms),
    st.tuples(st.just("redacts"), people, rooms),
    st.tuples(st.just("keeps"), people, rooms),
    st.tuples(st.just("renames"), people),
    st.tuples(st.just("polls"), people),
    st.tuples(st.just("slides"), people),
    st.tuples(st.just("reconnects"), people),
)


@dataclass(slots=True)
class Follower:
    """One person's three ways to follow, and every event that each has brought."""

    user: User
    seen: list[str] = field(default_factory=list)
    pos: str | None = None
    slid: dict[str, dict[tuple[str, str], Any]] = field(default_factory=dict)
    socket: Socket | None = None
    line: ClientState = field(default_factory=ClientState)
    line_seen: list[str] = field(default_factory=list)

    async def polls(self) -> None:
        self.seen += _event_ids(await self.user.syncs())

    async def slides(self) -> None:
        query = "?timeout=0" + ("" if self.pos is None else f"&pos={self.pos}")
        answer = await self.user.request("POST", SLIDING + query, WINDOW)
        self.pos = answer["pos"]
        for room_id, room in answer["rooms"].items():
            if "invite_state" in room or room.get("initial"):
                self.slid[room_id] = {}
            for event in room.get("required_state", []):
                if "content" in event:
                    self.slid[room_id][event["type"], event["state_key"]] = event.get("event_id")
                else:
                    self.slid[room_id].pop((event["type"], event["state_key"]), None)

    async def connects(self, server: Server) -> None:
        if self.socket is not None:
            self.socket.vanishes()
        since: dict[str, Any] = {} if self.line.since is None else {"since": self.line.since}
        self.socket = opens_socket(server, self.user.access_token, presence="offline", **since)
        await self.reads()

    async def reads(self) -> None:
        """Take one update off the socket."""
        assert self.socket is not None
        update = await self.socket.receives()
        self.line.apply(update)
        self.line_seen += _event_ids(update)


def _event_ids(answer: dict[str, Any]) -> list[str]:
    found = []
    for membership in ("join", "leave"):
        for section in answer.get("rooms", {}).get(membership, {}).values():
            found += [event["event_id"] for event in section.get("timeline", {}).get("events", [])]
    return found


class Play:
    """The stage: a server, its people and its rooms."""

    def __init__(self, server: Server, users: list[User]) -> None:
        self.server = server
        self.followers = [Follower(user) for user in users]
        self.rooms: list[str] = []
        self.said: list[list[str]] = [[] for _ in range(ROOMS)]
        self._count = 0

    async def begins(self) -> None:
        for number in range(ROOMS):
            creator = self.followers[number].user
            self.rooms.append(await creator.creates_room(preset="public_chat", version=("11", "12")[number]))
        for follower in self.followers:
            await follower.polls()
            await follower.connects(self.server)

    async def acts(self, act: tuple[Any, ...]) -> None:
        """One act; what the server refuses changes nothing."""
        name, actor, *more = act
        follower = self.followers[actor]
        if name == "polls":
            await follower.polls()
        elif name == "slides":
            await follower.slides()
        elif name == "reconnects":
            await follower.connects(self.server)
        else:
            try:
                await self._does(name, follower.user, more)
            except Refused as refusal:
                assert refusal.answer.status < 500

    async def _does(self, name: str, user: User, more: list[Any]) -> None:
        self._count += 1
        if name == "renames":
            await user.sets_profile("displayname", f"name {self._count}")
            return
        number = more[0]
        room, said = self.rooms[number], self.said[number]
        if name == "says":
            said.append(await user.says(room, f"message {self._count}"))
        elif name in ("joins", "leaves"):
            await getattr(user, name)(room)
        elif name in ("invites", "kicks", "bans", "unbans"):
            await getattr(user, name)(room, self.followers[more[1]].user)
        elif name == "names":
            await user.sets(room, "m.room.name", {"name": f"room {self._count}"})
        elif name == "opens":
            await user.sets(room, "m.room.history_visibility", {"history_visibility": more[1]})
        elif name == "reads" and said:
            await user.reads(room, said[-1])
        elif name == "redacts" and said:
            await user.redacts(room, said[len(said) // 2])
        elif name == "keeps":
            await user.keeps("test.mark", {"count": self._count}, room=room)

    async def ends(self) -> None:
        await self.server.passes(1)
        for follower in self.followers:
            await follower.polls()
            await follower.polls()
            await follower.slides()
            await self._catches_up(follower)
            await self._judges(follower)

    async def _catches_up(self, follower: Follower) -> None:
        """Read the socket until its token is that of a poll."""
        answer = await follower.user.request(
            "GET", "/sync", query={"since": follower.line.since, "timeout": 0}
        )
        while "rooms" in answer:
            await follower.reads()
            answer = await follower.user.request(
                "GET", "/sync", query={"since": follower.line.since, "timeout": 0}
            )

    async def _judges(self, follower: Follower) -> None:
        user = follower.user
        assert len(follower.seen) == len(set(follower.seen)), "a poll brought an event twice"
        assert len(follower.line_seen) == len(set(follower.line_seen)), "a socket brought an event twice"
        fresh = ClientState()
        fresh.apply(await user.request("GET", "/sync"))
        for room_id in self.rooms:
            wanted = fresh.rooms.get(room_id)
            for known in (user.client.rooms.get(room_id), follower.line.rooms.get(room_id)):
                if wanted is None:
                    assert known is None or known.membership in ("leave", "ban"), room_id
                    continue
                assert known is not None
                assert known.membership == wanted.membership
                if wanted.membership != "join":
                    continue
                assert _ids(known.state) == _ids(wanted.state)
                assert known.notification_count == wanted.notification_count
                assert known.receipts == wanted.receipts
                assert known.account_data == wanted.account_data
                tail = [event["event_id"] for event in wanted.timeline][-1:]
                assert [event["event_id"] for event in known.timeline][-1:] == tail
            if wanted is not None and wanted.membership == "join":
                assert follower.slid[room_id] == _ids(wanted.state)
            for event_id in {*follower.seen, *follower.line_seen} & set(self.said[self.rooms.index(room_id)]):
                # What came by a follower may be asked for: the gate is one.
                await user.event(room_id, event_id)


def _ids(state: dict[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], str]:
    return {key: event["event_id"] for key, event in state.items()}


async def _played(server: Server, play_acts: list[tuple[Any, ...]]) -> None:
    play = Play(server, await server.users(*PEOPLE))
    await play.begins()
    for act in play_acts:
        await play.acts(act)
    await play.ends()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(play_acts=st.lists(acts, min_size=5, max_size=40))
def test_every_follower_ends_with_the_same(
    reactor: VirtualReactor, tmp_path_factory: Any, play_acts: list[tuple[Any, ...]]
) -> None:
    path = tmp_path_factory.mktemp("play") / "play.db"
    path.write_bytes(schema_image())
    server = Server(reactor, SqliteEngine(str(path)), seed="play", enable_rate_limits=False)
    reactor.drive(server.starts())
    try:
        reactor.drive(_played(server, play_acts))
    finally:
        reactor.drive(server.stops())
