"""Messages from device to device."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from storage import to_device
from tests.features.e2ee.people import received, sends, sends_all
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def stored(server: Server, user: User) -> int:
    """How many messages for the device are in the database, once what is under way is done."""
    await server.passes(5)
    database = server.homeserver.surroundings.database
    return len(await database.read(to_device.list_after, user.user_id, user.device_id, 0, 10_000))


async def test_a_message_arrives_once_and_is_deleted_when_acknowledged(
    server: Server, alice: User, bob: User
) -> None:
    await bob.syncs()
    await sends(alice, bob, {"n": 1})
    answer = await bob.syncs()
    assert answer["to_device"] == {
        "events": [{"type": "m.room.encrypted", "sender": alice.user_id, "content": {"n": 1}}]
    }
    assert await stored(server, bob) == 1
    assert received(await bob.syncs()) == []
    assert await stored(server, bob) == 0
    assert received(await bob.syncs()) == []


async def test_a_waiting_poll_is_answered(alice: User, bob: User) -> None:
    await bob.syncs()
    poll = Deferred.fromCoroutine(bob.syncs(timeout_ms=30_000))
    await sends(alice, bob, {"n": 1})
    assert received(await poll) == [{"n": 1}]


async def test_what_was_not_acknowledged_comes_again(server: Server, alice: User, bob: User) -> None:
    await bob.syncs()
    since = bob.client.since
    for n in range(3):
        await sends(alice, bob, {"n": n})
    for _ in range(3):
        assert received(await bob.syncs(since=since)) == [{"n": 0}, {"n": 1}, {"n": 2}]
    middle = bob.client.since
    await sends(alice, bob, {"n": 3})
    assert received(await bob.syncs(since=middle)) == [{"n": 3}]
    # The answer was lost with the server.
    await server.restarts()
    assert received(await bob.syncs(since=middle)) == [{"n": 3}]
    assert received(await bob.syncs()) == []


async def test_a_client_that_begins_anew_gets_what_waits(alice: User, bob: User) -> None:
    await sends(alice, bob, {"n": 1})
    bob.client.since = None
    for _ in range(2):
        assert received(await bob.request("GET", "/sync")) == [{"n": 1}]
    await bob.syncs()
    await bob.syncs()
    assert received(await bob.request("GET", "/sync")) == []


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_long_queue_comes_in_pieces_and_in_order(
    server: Server, alice: User, bob: User, restarts: bool
) -> None:
    await bob.syncs()
    for n in range(450):
        await sends(alice, bob, {"n": n})
    got: list[int] = []
    sizes = []
    for _ in range(6):
        if restarts:
            await server.restarts()
        before = bob.client.since
        answer = await bob.syncs(timeout_ms=1000)
        sizes.append(len(received(answer)))
        got += [content["n"] for content in received(answer)]
        # Asked again, the server gives the same again.
        assert received(await bob.syncs(since=before)) == received(answer)
    assert got == list(range(450))
    assert sizes == [100, 100, 100, 100, 50, 0]
    assert await stored(server, bob) == 0


async def test_every_device(server: Server, alice: User, bob: User) -> None:
    tablet, phone = await server.logs_in(bob), await server.logs_in(bob)
    await sends(alice, bob, {"to": "all"}, device="*")
    await sends(alice, bob, {"to": "tablet"}, device=tablet.device_id)
    await sends(alice, bob, {"to": "nobody"}, device="NONE")
    await sends(alice, "@nobody:one.test", {"to": "nobody"})
    assert received(await bob.syncs()) == received(await phone.syncs()) == [{"to": "all"}]
    assert received(await tablet.syncs()) == [{"to": "all"}, {"to": "tablet"}]


async def test_a_new_device_hears_of_what_comes_after_it(server: Server, alice: User, bob: User) -> None:
    await sends(alice, bob, {"n": 1}, device="*")
    phone = await server.logs_in(bob)
    await sends(alice, bob, {"n": 2}, device="*")
    assert received(await phone.syncs()) == [{"n": 2}]
    assert received(await bob.syncs()) == [{"n": 1}, {"n": 2}]


async def test_a_transaction_counts_once(server: Server, alice: User, bob: User) -> None:
    for _ in range(3):
        await sends(alice, bob, {"n": 1}, transaction_id="same")
    again = [Deferred.fromCoroutine(sends(alice, bob, {"n": 2}, transaction_id="other")) for _ in range(5)]
    await gatherResults(again)
    await server.restarts()
    for transaction_id in ("same", "other"):
        await sends(alice, bob, {"n": 3}, transaction_id=transaction_id)
    await sends_all(alice, {bob.user_id: {bob.device_id: {"n": 4}}}, type="m.dummy", transaction_id="same")
    assert received(await bob.syncs()) == [{"n": 1}, {"n": 2}, {"n": 4}]


async def test_transactions_belong_to_a_device(server: Server, alice: User, bob: User) -> None:
    phone = await server.logs_in(alice)
    await sends(alice, bob, {"n": 1}, transaction_id="same")
    await sends(phone, bob, {"n": 2}, transaction_id="same")
    assert received(await bob.syncs()) == [{"n": 1}, {"n": 2}]


async def test_messages_go_with_their_device(server: Server, alice: User, bob: User) -> None:
    phone = await server.logs_in(bob, device_id="PHONE")
    await sends(alice, phone, {"n": 1})
    await phone.logs_out()
    await sends(alice, phone, {"n": 2})
    phone = await server.logs_in(bob, device_id="PHONE")
    assert received(await phone.syncs()) == []
    await sends(alice, phone, {"n": 3})
    assert received(await phone.syncs()) == [{"n": 3}]


async def test_a_message_on_its_way_to_a_device_that_goes(server: Server, alice: User, bob: User) -> None:
    phone = await server.logs_in(bob, device_id="PHONE")
    await sends(alice, phone, {"n": 0})
    under_way = [
        Deferred.fromCoroutine(phone.logs_out()),
        *(Deferred.fromCoroutine(sends(alice, phone, {"n": n})) for n in range(1, 4)),
    ]
    await gatherResults(under_way)
    assert await stored(server, phone) == 0


@pytest.mark.parametrize(
    "messages", [None, [], {"@bob:one.test": []}, {"@bob:one.test": {"*": "text"}}, {"@bob:one.test": None}]
)
async def test_bodies_that_make_no_sense(alice: User, messages: Any) -> None:
    with refused("M_BAD_JSON", 400):
        await alice.request("PUT", "/sendToDevice/m.dummy/1", {"messages": messages})


async def test_recipients_that_are_none(alice: User, bob: User) -> None:
    with refused("M_INVALID_PARAM", 400):
        await sends_all(alice, {"bob": {"*": {}}, bob.user_id: {"*": {}}})
    assert received(await bob.syncs()) == []


async def test_what_is_too_large(alice: User, bob: User) -> None:
    largest = {"ciphertext": "x" * (64 * 1024 - 17)}
    await sends(alice, bob, largest)
    with refused("M_TOO_LARGE", 413):
        await sends(alice, bob, {"ciphertext": "x" * 64 * 1024})
    with refused("M_INVALID_PARAM", 400):
        await sends_all(alice, {bob.user_id: {"*": {}}}, type="t" * 256)
    assert received(await bob.syncs()) == [largest]


async def test_a_failed_transaction_may_be_tried_again(alice: User, bob: User) -> None:
    with refused("M_TOO_LARGE", 413):
        await sends(alice, bob, {"ciphertext": "x" * 64 * 1024}, transaction_id="same")
    await sends(alice, bob, {"n": 1}, transaction_id="same")
    assert received(await bob.syncs()) == [{"n": 1}]
