"""Two Hearths over TCP, as two operators run them: friends, a group by its code, and moments, through the IM API."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest

from tests.harness.client_state import KnownRoom
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.watch import Watch
from tests.interop.peer.certificates import Certificates
from tests.interop.peer.conftest import AsyncioReactor, make_hearth
from tests.interop.peer.people import Person, Place


@pytest.fixture(scope="module")
def other_hearth(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, http: aiohttp.ClientSession
) -> Iterator[Place]:
    process = make_hearth(tmp_path_factory.mktemp("other"), certificates)
    process.start()
    yield Place(process, process.server_name, Watch(), http)
    process.stop()


@pytest.fixture
def ann(reactor: AsyncioReactor, hearth: Place) -> ImUser:
    person: Person = reactor.drive(hearth.user("ann"))
    return ImUser(person)


@pytest.fixture
def ben(reactor: AsyncioReactor, other_hearth: Place) -> ImUser:
    person: Person = reactor.drive(other_hearth.user("ben"))
    return ImUser(person)


async def test_two_people_live_together_on_two_servers(ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben, "it is me")
    assert (await ben.sees_request(ann))["message"] == "it is me"
    room = await ben.accepts(ann)
    assert room == asked["room_id"]
    await ann.sees_friends(ben)
    await ann.says(room, "hello")
    await ben.stock.sees(room, "hello")
    await ben.says(room, "hello yourself")
    await ann.stock.sees(room, "hello", "hello yourself")

    gid = (await ann.call("POST", "/groups", {"name": "Cakes"}))["gid"]
    link = await ann.call("POST", f"/groups/{gid}/invite-links", {"max_uses": 1})
    joined = await ben.call("POST", f"/invite-links/{link['token']}/join")
    assert joined == {"gid": gid, "state": "joined"}
    await ann.stock.sees(gid, member={ben.stock: "join"})
    await ben.says(gid, "the code works")
    await ann.stock.sees(gid, "the code works")
    await ann.call("PATCH", f"/groups/{gid}/members/{ben.user_id}", {"muted": True})
    await ben.stock.waits_until(
        lambda client: gid in client.rooms and -1 in _levels(client.rooms[gid]),
        "being muted",
    )
    with refused("IM_MUTED", 403):
        await ben.says(gid, "hush")
    await ann.call("DELETE", f"/groups/{gid}")
    await ben.stock.sees(gid, membership="leave")
    assert (await ben.call("GET", f"/groups/{gid}"))["dissolved"]

    await ben.reads_moments_of(ann)
    moment = (await ann.call("POST", "/moments", {"text": "plum cake"}))["moment_id"]
    await ben.sees_moments("plum cake")
    await ben.call("PUT", f"/moments/{moment}/like")
    await ben.call("POST", f"/moments/{moment}/comments", {"body": "yum"})
    await ann.sees_comments(moment, "yum")

    await ann.parts_from(ben)
    await ben.sees_friends()
    await ben.loses_moments_of(ann)
    assert (await ann.asks(ben, "sorry"))["room_id"] == room
    await ben.sees_request(ann)
    await ben.accepts(ann)
    await ann.sees_friends(ben)
    await ben.reads_moments_of(ann)


def _levels(room: KnownRoom) -> list[int]:
    return list((room.content("m.room.power_levels") or {}).get("users", {}).values())
