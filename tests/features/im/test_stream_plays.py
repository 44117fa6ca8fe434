"""Random plays: whoever follows the realtime stream knows in the end what the history says, message by message."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.features.im.test_sequence import whole_history
from tests.fixtures.databases import SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client import segment
from tests.harness.im_stream import Frame, Poller
from tests.harness.im_user import ImUser
from tests.harness.refusals import Refused
from tests.harness.server import Server

OFFER = {"type": "offer", "sdp": "v=0"}

people = st.integers(0, 1)
which = st.integers(0, 5)
acts = st.one_of(
    st.tuples(st.just("says"), people),
    st.tuples(st.just("says_by_stock"), people),
    st.tuples(st.just("edits"), people, which),
    st.tuples(st.just("reacts"), people, which, st.sampled_from("👍👎")),
    st.tuples(st.just("unreacts"), people, which, st.sampled_from("👍👎")),
    st.tuples(st.just("recalls"), people, which),
    st.tuples(st.just("hides"), st.just(1), which),
    st.tuples(st.just("calls"), people),
    st.tuples(st.just("names"), people),
    st.tuples(st.just("polls"), st.just(1)),
    st.tuples(st.just("changes_over"), st.just(1)),
    st.tuples(st.just("restarts"), st.just(1)),
)
plays = st.lists(acts, min_size=5, max_size=30)


class Known:
    """What a client makes of the frames."""

    def __init__(self) -> None:
        self.items: dict[int, Frame] = {}
        self.reactions: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._reaction_ids: dict[str, tuple[str, str]] = {}

    def hear(self, frame: Frame) -> None:
        match frame["type"]:
            case "message" | "edit" | "recall":
                self.items[frame["seq"]] = frame["message"]
            case "reaction" if frame.get("removed"):
                target, key = self._reaction_ids.get(frame["reaction_id"], ("", ""))
                self.reactions[target][key].discard(frame["reaction_id"])
            case "reaction":
                self._reaction_ids[frame["reaction_id"]] = frame["event_id"], frame["key"]
                self.reactions[frame["event_id"]][frame["key"]].add(frame["reaction_id"])
            case kind if kind.startswith("call."):
                self.items[frame["seq"]] = frame
            case "gap":
                raise AssertionError("a play is too short for gaps")

    def counts(self, event_id: str) -> dict[str, int]:
        return {key: len(ids) for key, ids in self.reactions[event_id].items() if ids}


class Play:
    """Two people in a conversation, the second of whom follows."""

    def __init__(self, server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
        self.server, self.people, self.room = server, (ann, ben), room
        self.poller, self.known = Poller(ben), Known()
        self.said: list[str] = []
        self._count = 0

    async def act(self, name: str, who: int, *arguments: Any) -> None:
        try:
            await getattr(self, name)(self.people[who], *arguments)
        except Refused as refusal:
            # Whoever tries to change what is not theirs, or is gone, is told so and changes nothing.
            assert refusal.status in (403, 404), refusal

    def _text(self) -> str:
        self._count += 1
        return f"m{self._count}"

    def _path(self, index: int) -> str:
        return f"/messages/{self.said[index % len(self.said)]}" if self.said else "/messages/$nothing"

    async def says(self, person: ImUser) -> None:
        self.said.append((await person.says(self.room, self._text()))["event_id"])

    async def says_by_stock(self, person: ImUser) -> None:
        self.said.append(await person.stock.says(self.room, self._text()))

    async def edits(self, person: ImUser, index: int) -> None:
        await person.call("PATCH", self._path(index), {"body": self._text()})

    async def reacts(self, person: ImUser, index: int, key: str) -> None:
        await person.call("POST", f"{self._path(index)}/reactions", {"key": key})

    async def unreacts(self, person: ImUser, index: int, key: str) -> None:
        await person.call("DELETE", f"{self._path(index)}/reactions/{segment(key)}")

    async def recalls(self, person: ImUser, index: int) -> None:
        await person.call("PUT", f"{self._path(index)}/recall")

    async def hides(self, person: ImUser, index: int) -> None:
        await person.call("DELETE", self._path(index), scope="me")

    async def calls(self, person: ImUser) -> None:
        await person.call("POST", f"/conversations/{self.room}/calls", {"offer": OFFER})

    async def names(self, person: ImUser) -> None:
        await person.stock.sets(self.room, "m.room.topic", {"topic": self._text()})

    async def polls(self, _person: ImUser) -> None:
        for frame in await self.poller.polls():
            self.known.hear(frame)

    async def changes_over(self, person: ImUser) -> None:
        """To `/sync` and back, with its token."""
        await self.polls(person)
        self.poller.since = (await person.stock.syncs(since=self.poller.since))["next_batch"]

    async def restarts(self, _person: ImUser) -> None:
        await self.server.restarts()


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(play=plays)
def test_frames_add_up_to_the_history(
    reactor: VirtualReactor, tmp_path_factory: Any, play: list[tuple[Any, ...]]
) -> None:
    path = tmp_path_factory.mktemp("play") / "play.db"
    path.write_bytes(schema_image())
    server = Server(reactor, SqliteEngine(str(path)), seed="play", enable_rate_limits=False)
    reactor.drive(server.starts())
    try:
        reactor.drive(played(server, play))
    finally:
        reactor.drive(server.stops())


async def played(server: Server, acts: list[tuple[Any, ...]]) -> None:
    ann, ben = ImUser(await server.user("ann")), ImUser(await server.user("ben"))
    room = await ann.befriends(ben)
    # Friends come to one another's moments by themselves.
    await server.passes(1)
    stage = Play(server, ann, ben, room)
    await stage.polls(ben)
    first = (await ben.history(room, limit=1))["items"][0]["seq"] + 1
    for act in acts:
        await stage.act(*act)
    await stage.polls(ben)
    assert await stage.poller.polls() == []
    history = [item for item in await whole_history(ben, room) if item["seq"] >= first]
    known = stage.known
    assert sorted(known.items) == [item["seq"] for item in history]
    for item in history:
        heard = known.items[item["seq"]]
        if item.get("type") == "call":
            assert heard["event_id"] == item["event_id"]
            continue
        counted = {each["key"]: each["count"] for each in item.pop("reactions", [])}
        if "event_id" in item and "body" in item:
            assert known.counts(item["event_id"]) == counted
        left_out = ("reactions", "client_msg_id", "late")
        assert {k: v for k, v in heard.items() if k not in left_out} == {
            k: v for k, v in item.items() if k not in left_out
        }
