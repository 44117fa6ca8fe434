"""Sequence numbers: without a gap by arrival, below 1 for what was said before this server was there."""

from __future__ import annotations

from typing import Any

from tests.features.federation.conftest import make_peer, network, one, two
from tests.harness.im_stream import Poller
from tests.harness.im_user import ImUser
from tests.harness.network import Network
from tests.harness.server import Server

__all__ = ["make_peer", "network", "one", "two"]


def bodies(items: list[dict[str, Any]]) -> list[str]:
    return [item["body"] for item in items if item.get("type") == "text"]


async def whole_history(user: ImUser, room: str, limit: int = 20) -> list[dict[str, Any]]:
    """Page back to the beginning."""
    items: list[dict[str, Any]] = []
    place: str | None = None
    for _ in range(50):
        query = {} if place is None else {"from_": place}
        page = await user.history(room, limit=limit, **query)
        items = [*page["items"], *items]
        place = page.get("next_batch")
        if place is None:
            return items
    raise AssertionError("the history does not end")


async def test_what_was_said_before_counts_down(one: Server, two: Server) -> None:
    ann, ben = ImUser(await one.user("ann")), ImUser(await two.user("ben"))
    room = await ann.stock.creates_room(public=True)
    said = []
    for number in range(130):
        said.append(f"m{number}")
        await ann.stock.says(room, said[-1])
        if number % 10 == 0:
            await ann.stock.sets(room, "m.room.topic", {"topic": said[-1]})
    await ben.stock.joins(room, via=["one.test"])
    joined = (await ben.history(room))["items"][-1]
    assert joined["seq"] == 1
    items = await whole_history(ben, room)
    assert bodies(items) == said
    seqs = [item["seq"] for item in items]
    assert seqs == list(range(seqs[0], 2)) and seqs[0] < -100
    assert await ben.unread(room) == 0
    # Numbers are local: on the other server they begin with the room.
    assert bodies(await whole_history(ann, room)) == said
    after = await ben.history(room, after_seq=seqs[0], limit=3)
    assert [item["seq"] for item in after["items"]] == list(range(seqs[0] + 1, seqs[0] + 4))


async def test_what_arrives_late_stands_where_it_arrived(one: Server, two: Server, network: Network) -> None:
    ann, ben = ImUser(await one.user("ann")), ImUser(await two.user("ben"))
    room = await ann.stock.creates_room(public=True)
    await ben.stock.joins(room, via=["one.test"])
    await ann.stock.sees(room, member={ben.stock: "join"})
    poller = Poller(ann)
    await poller.polls()
    network.cut("one.test", "two.test")
    await ben.says(room, "from the other side")
    await one.passes(10 * 60)
    last = await ann.says(room, "anybody there?")
    network.heal()
    await ann.stock.sees(room, "anybody there?", "from the other side", within_ms=24 * 3600 * 1000)
    page = await ann.history(room, limit=2)
    assert [item["seq"] for item in page["items"]] == [last["seq"], last["seq"] + 1]
    assert page["items"][1]["late"] and page["items"][1]["body"] == "from the other side"
    (alone,) = (await ann.history(room, limit=1))["items"]
    assert alone["late"]
    heard = [frame["message"].get("late") for frame in await poller.polls() if frame["type"] == "message"]
    assert heard == [None, True]


async def test_members_keep_their_place_after_a_restart(server: Server, ann: ImUser, ben: ImUser) -> None:
    room = await ann.befriends(ben)
    first = await ann.says(room, "one")
    await server.restarts()
    second = await ben.says(room, "two")
    assert second["seq"] == first["seq"] + 1
    await ben.call("POST", f"/messages/{first['event_id']}/reactions", {"key": "👍"})
    await ann.stock.sets(room, "m.room.topic", {"topic": "tea"})
    third = await ann.stock.says(room, "three")
    assert (await ann.call("GET", f"/messages/{third}"))["seq"] == second["seq"] + 1
