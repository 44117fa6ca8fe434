"""Media IDs that are reserved before there is a file."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

V1 = "/_matrix/client/v1/media"
CREATE = "/_matrix/media/v1/create"


async def reserves(user: User) -> str:
    answer = await user.request("POST", CREATE)
    return str(answer["content_uri"]).removeprefix("mxc://")


async def fills(user: User, place: str, data: bytes = b"here it is") -> None:
    await user.request("PUT", f"/_matrix/media/v3/upload/{place}", raw=data, query={"filename": "f"})


async def test_a_reserved_id_gets_its_file_once(server: Server, alice: User, bob: User) -> None:
    answer = await alice.request("POST", CREATE)
    assert answer["unused_expires_at"] == server.clock.now_ms() + 86_400_000
    place = answer["content_uri"].removeprefix("mxc://")
    with refused("M_FORBIDDEN", 403):
        await fills(bob, place)
    await fills(alice, place)
    assert (await bob.downloads(place)).body == b"here it is"
    with refused("M_CANNOT_OVERWRITE_MEDIA", 409):
        await fills(alice, place, b"something else")
    assert (await bob.downloads(place)).body == b"here it is"


async def test_who_asks_too_early_waits(server: Server, alice: User, bob: User) -> None:
    place = await reserves(alice)
    asking: Any = Deferred.fromCoroutine(bob.downloads(place))
    await server.passes(5)
    await fills(alice, place)
    assert (await asking).body == b"here it is"


async def test_who_asks_much_too_early_is_told_so(server: Server, alice: User) -> None:
    place = await reserves(alice)
    began = server.clock.now_ms()
    with refused("M_NOT_YET_UPLOADED", 504):
        await alice.request("GET", f"{V1}/download/{place}", query={"timeout_ms": 5000})
    assert server.clock.now_ms() - began == 5000
    with refused("M_NOT_YET_UPLOADED", 504):
        await alice.request(
            "GET", f"{V1}/thumbnail/{place}", query={"timeout_ms": 0, "width": 9, "height": 9}
        )
    began = server.clock.now_ms()
    with refused("M_NOT_YET_UPLOADED", 504):
        await alice.request("GET", f"{V1}/download/{place}", query={"timeout_ms": 10**12})
    assert server.clock.now_ms() - began == 60_000


async def test_a_reservation_expires(server: Server, alice: User) -> None:
    place = await reserves(alice)
    await server.passes(86_401)
    with refused("M_NOT_FOUND", 404):
        await fills(alice, place)
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"{V1}/download/{place}")


async def test_an_id_that_nobody_has_reserved_takes_no_file(alice: User) -> None:
    for place in ("one.test/abcdef", "elsewhere.test/abcdef"):
        with refused("M_NOT_FOUND", 404):
            await fills(alice, place)


async def test_the_largest_file_counts_there_too(make_server: ServerFactory) -> None:
    alice = await make_server(max_upload_size="1K").user("alice")
    place = await reserves(alice)
    with refused("M_TOO_LARGE", 413):
        await fills(alice, place, bytes(1025))
    await fills(alice, place, bytes(1024))


async def test_only_so_many_may_wait(make_server: ServerFactory) -> None:
    server = make_server(max_pending_media_uploads=2)
    alice, bob = await server.user("alice"), await server.user("bob")
    first, _ = await reserves(alice), await reserves(alice)
    with refused("M_LIMIT_EXCEEDED", 429):
        await reserves(alice)
    await reserves(bob)
    await fills(alice, first)
    await reserves(alice)
    await server.passes(86_401)
    await reserves(alice)
