"""Random plays: whatever people do in whatever order, every follower ends with what a newcomer would be told.

A play is a list of moments, in each of which some people do something at once, in several rooms. Each person follows
on three devices: by long-poll, over a WebSocket and by sliding sync. Followers look in between at times of their own,
wait, lose answers, reconnect and start over. At the end each follows to the end of the log, and is compared with a
first look; nobody may have been told of an event or message twice, have missed one, or seen one that was not theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults

from tests.features.e2ee.people import crypto_of
from tests.features.sync.followers import Follower, Listener, Poller, Slider, SyncFollower
from tests.fixtures.databases import Engine, PostgresServer, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client_state import ClientState
from tests.harness.refusals import Refused
from tests.harness.server import Server
from tests.harness.user import User

PEOPLE = ("alice", "bob", "carol")
ROOMS = 2
WAIT_MS = 30_000

people = st.integers(0, len(PEOPLE) - 1)
rooms = st.integers(0, ROOMS - 1)


def does(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(name), people, *arguments)


visibilities = st.sampled_from(["shared", "joined", "invited", "world_readable"])
acts = st.one_of(
    does("says", rooms),
    does("says", rooms),
    does("joins", rooms),
    does("leaves", rooms),
    does("invites", rooms, people),
    does("kicks", rooms, people),
    does("bans", rooms, people),
    does("unbans", rooms, people),
    does("names", rooms),
    does("opens", rooms, visibilities),
    does("reads", rooms),
    does("redacts", rooms),
    does("keeps", rooms),
    does("prefers"),
    does("renames"),
    does("rekeys"),
    does("whispers", people),
    does("polls", st.booleans()),
    does("waits"),
    does("slides", st.booleans()),
    does("slides and waits"),
    does("slides anew"),
    does("listens"),
    does("reconnects"),
)
plays = st.lists(st.lists(acts, min_size=1, max_size=3), min_size=4, max_size=25)


class Person:
    """Somebody on three devices; with the first they act."""

    def __init__(self, server: Server, user: User, tablet: User, desktop: User) -> None:
        self.user = user
        self.poller = Poller(user)
        self.listener = Listener(tablet, server)
        self.slider = Slider(desktop)
        self.whispered: list[int] = []

    @property
    def followers(self) -> list[Follower]:
        return [self.poller, self.listener, self.slider]


class Play:
    """The stage: a server, its people and its rooms."""

    def __init__(self, people: list[Person]) -> None:
        self.people = people
        self.rooms: list[str] = []
        self.said: list[list[str]] = [[] for _ in range(ROOMS)]
        self._count = 0

    async def begins(self) -> None:
        for number in range(ROOMS):
            creator = self.people[number].user
            self.rooms.append(await creator.creates_room(preset="public_chat", version=("11", "12")[number]))
        for person in self.people:
            await person.poller.looks()
            await person.listener.connects()

    async def acts(self, act: tuple[Any, ...]) -> None:
        """One act; what the server refuses changes nothing."""
        name, actor, *more = act
        person = self.people[actor]
        looks = self._looks(name, person, more)
        if looks is not None:
            follower, look = looks
            if not follower.is_busy:
                follower.is_busy = True
                await look()
                follower.is_busy = False
            return
        try:
            await self._does(name, person.user, more)
        except Refused as refusal:
            assert refusal.answer.status < 500

    @staticmethod
    def _looks(
        name: str, person: Person, more: list[Any]
    ) -> tuple[Follower, Callable[[], Awaitable[Any]]] | None:
        poller, listener, slider = person.poller, person.listener, person.slider
        if name == "polls":
            return poller, partial(poller.looks, is_lost=more[0])
        if name == "waits":
            return poller, partial(poller.looks, timeout_ms=WAIT_MS)
        if name == "slides":
            return slider, partial(slider.looks, is_lost=more[0])
        if name == "slides and waits":
            return slider, partial(slider.looks, timeout_ms=WAIT_MS)
        if name == "slides anew":
            return slider, slider.starts_over
        if name == "listens":
            return listener, listener.listens
        return (listener, listener.connects) if name == "reconnects" else None

    async def _does(self, name: str, user: User, more: list[Any]) -> None:
        self._count += 1
        count = self._count
        if name == "renames":
            await user.sets_profile("displayname", f"name {count}")
        elif name == "prefers":
            await user.keeps("test.preference", {"count": count})
        elif name == "rekeys":
            keys = crypto_of(user).device_keys(revision=count)
            await user.request("POST", "/keys/upload", {"device_keys": keys})
        elif name == "whispers":
            other = self.people[more[0]]
            other.whispered.append(count)
            path = f"/sendToDevice/test.whisper/{user.new_transaction_id()}"
            messages = {other.user.user_id: {"*": {"count": count}}}
            await user.request("PUT", path, {"messages": messages})
        else:
            await self._does_in_room(name, user, self.rooms[more[0]], self.said[more[0]], more, count)

    async def _does_in_room(
        self, name: str, user: User, room: str, said: list[str], more: list[Any], count: int
    ) -> None:
        if name == "says":
            said.append(await user.says(room, f"message {count}"))
        elif name in ("joins", "leaves"):
            await getattr(user, name)(room)
        elif name in ("invites", "kicks", "bans", "unbans"):
            await getattr(user, name)(room, self.people[more[1]].user)
        elif name == "names":
            await user.sets(room, "m.room.name", {"name": f"room {count}"})
        elif name == "opens":
            await user.sets(room, "m.room.history_visibility", {"history_visibility": more[1]})
        elif name == "reads" and said:
            await user.reads(room, said[-1])
        elif name == "redacts" and said:
            await user.redacts(room, said[len(said) // 2])
        elif name == "keeps":
            await user.keeps("test.mark", {"count": count}, room=room)

    async def ends(self) -> None:
        for person in self.people:
            await person.poller.catches_up()
            await person.listener.catches_up()
            await person.slider.catches_up()
            fresh = ClientState()
            fresh.apply(await person.user.request("GET", "/sync"))
            for follower in person.followers:
                await self._judges(person, follower, fresh)

    async def _judges(self, person: Person, follower: Follower, fresh: ClientState) -> None:
        counts = [message["count"] for message in follower.messages]
        assert sorted(counts) == sorted(person.whispered), f"{follower}: messages"
        assert follower.account.get("test.preference") == fresh.account_data.get("test.preference")
        for number, room_id in enumerate(self.rooms):
            wanted = fresh.rooms.get(room_id)
            membership = follower.membership(room_id)
            if wanted is None:
                assert membership in (None, "leave", "ban"), (follower, room_id)
                continue
            assert membership == wanted.membership, (follower, room_id)
            if wanted.membership == "join":
                await self._judges_room(follower, room_id, fresh)
            seen = follower.known.get(room_id, set()) & set(self.said[number])
            for event_id in seen:
                # What came by a follower may be asked for: the gate is one.
                await follower.user.event(room_id, event_id)
        shared = {
            user
            for room in fresh.rooms.values()
            if room.membership == "join"
            for user, membership in room.members().items()
            if membership == "join" and user != person.user.user_id
        }
        answer = await person.user.request(
            "POST", "/keys/query", {"device_keys": {user: [] for user in shared}}
        )
        known = {user: keys for user, keys in follower.keys.items() if user in shared}
        assert known == {user: answer["device_keys"].get(user, {}) for user in shared}, follower
        assert follower.keys.keys() <= shared, f"{follower} was not told who left"

    @staticmethod
    async def _judges_room(follower: Follower, room_id: str, fresh: ClientState) -> None:
        wanted = fresh.rooms[room_id]
        state = {key: event["event_id"] for key, event in wanted.state.items()}
        assert follower.state(room_id) == state, follower
        history: set[str] = set()
        page = await follower.user.messages(room_id, limit=1000)
        history.update(event["event_id"] for event in page["chunk"])
        assert history <= follower.known[room_id], f"{follower} has missed events"
        newest = page["chunk"][0]["event_id"]
        assert follower.timelines[room_id][-1] == newest, follower
        if isinstance(follower, SyncFollower):
            known = follower.client.rooms[room_id]
            assert known.notification_count == wanted.notification_count, follower
            assert known.receipts == wanted.receipts, follower
            assert known.account_data == wanted.account_data, follower
        elif isinstance(follower, Slider):
            assert follower.room_data.get(room_id, {}) == wanted.account_data, follower
            own = {
                (kind, user): event_id
                for (kind, user, _), event_id in wanted.receipts.items()
                if user == follower.user.user_id
            }
            assert own.items() <= follower.receipts.get(room_id, {}).items(), follower


async def _played(server: Server, play: list[list[tuple[Any, ...]]]) -> None:
    people = []
    for name in PEOPLE:
        user = await server.user(name)
        people.append(Person(server, user, await server.logs_in(user), await server.logs_in(user)))
    stage = Play(people)
    await stage.begins()
    for moment in play:
        await gatherResults([Deferred.fromCoroutine(stage.acts(act)) for act in moment], consumeErrors=True)
    await server.passes(1)
    await stage.ends()


def _runs(reactor: VirtualReactor, engine: Engine, play: list[list[tuple[Any, ...]]]) -> None:
    server = Server(reactor, engine, seed="play", enable_rate_limits=False)
    reactor.drive(server.starts())
    try:
        reactor.drive(_played(server, play))
    finally:
        reactor.drive(server.stops())


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(play=plays)
def test_every_follower_ends_with_the_same(
    reactor: VirtualReactor, tmp_path_factory: Any, play: list[list[tuple[Any, ...]]]
) -> None:
    path = tmp_path_factory.mktemp("play") / "play.db"
    path.write_bytes(schema_image())
    _runs(reactor, SqliteEngine(str(path)), play)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(play=plays)
def test_it_does_so_on_postgresql(
    reactor: VirtualReactor, postgres_server: PostgresServer, play: list[list[tuple[Any, ...]]]
) -> None:
    lent = postgres_server.lend()
    try:
        _runs(reactor, lent, play)
    finally:
        postgres_server.take_back(lent)
