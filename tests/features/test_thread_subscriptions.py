"""Following threads (MSC4306), and hearing of it over sliding sync (MSC4308)."""

from __future__ import annotations

from typing import Any

from tests.harness.refusals import refused
from tests.harness.user import User

SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
NAME = "io.element.msc4308.thread_subscriptions"


def where(room: str, root: str) -> str:
    return f"/_matrix/client/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription"


async def told(user: User, pos: str | None = None) -> tuple[str, dict[str, Any]]:
    query = "" if pos is None else f"?pos={pos}"
    answer = await user.request(
        "POST", SLIDING + query, {"extensions": {NAME: {"enabled": True, "limit": 10}}}
    )
    return answer["pos"], answer["extensions"][NAME]


async def replies(user: User, room: str, root: str, body: str) -> str:
    return await user.says(room, body, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})


async def test_subscribing_and_leaving_again(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    root = await alice.says(room, "a question")
    pos, nothing = await told(bob)
    assert nothing == {}
    with refused("M_NOT_FOUND", 404):
        await bob.request("GET", where(room, root))
    await bob.request("PUT", where(room, root), {})
    assert await bob.request("GET", where(room, root)) == {"automatic": False}
    pos, news = await told(bob, pos)
    assert news["subscribed"][room][root]["automatic"] is False
    await bob.request("DELETE", where(room, root))
    pos, news = await told(bob, pos)
    assert root in news["unsubscribed"][room]
    assert (await told(alice))[1] == {}


async def test_who_has_left_is_not_subscribed_again_for_what_came_before(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    root = await alice.says(room, "a question")
    cause = await replies(bob, room, root, "an answer")
    await bob.request("PUT", where(room, root), {"automatic": cause})
    assert await bob.request("GET", where(room, root)) == {"automatic": True}
    await bob.request("DELETE", where(room, root))
    with refused("IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION", 409):
        await bob.request("PUT", where(room, root), {"automatic": cause})
    later = await replies(bob, room, root, "another answer")
    await bob.request("PUT", where(room, root), {"automatic": later})
    assert await bob.request("GET", where(room, root)) == {"automatic": True}


async def test_only_threads_that_one_can_see(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    root = await alice.says(room, "a question")
    with refused("M_NOT_FOUND", 404):
        await bob.request("PUT", where(room, root), {})
    elsewhere = await alice.says(room, "something else")
    with refused("IO.ELEMENT.MSC4306.M_NOT_IN_THREAD", 400):
        await alice.request("PUT", where(room, root), {"automatic": elsewhere})
