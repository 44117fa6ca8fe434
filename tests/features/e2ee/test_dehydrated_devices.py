"""Devices that sleep on the server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.features.e2ee.people import changed, claims, publishes, queries, sends
from tests.features.e2ee.test_device_lists import together
from tests.harness.client import segment
from tests.harness.device_crypto import OTK, DeviceCrypto, corrupted
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
DATA = {"algorithm": "m.dehydration.v2", "device_pickle": "sealed", "nonce": "n"}


def asleep(user: User, device_id: str = "Kg/Curve+25519") -> tuple[DeviceCrypto, dict[str, Any]]:
    """A device's cryptography, and what puts it to sleep."""
    crypto = DeviceCrypto(user.user_id, device_id)
    return crypto, {
        "device_id": device_id,
        "device_data": DATA,
        "initial_device_display_name": "Dehydrated device",
        "device_keys": crypto.device_keys(dehydrated=True),
        "one_time_keys": crypto.one_time_keys(2),
        "fallback_keys": crypto.fallback_key(),
    }


async def events(
    user: User, device_id: str, next_batch: str | None = None, **query: Any
) -> tuple[list[Any], str]:
    """What waits for the sleeping device, and where to go on."""
    path = f"{PATH}/{segment(device_id)}/events"
    answer = await user.request("GET", path, query={"next_batch": next_batch, **query})
    assert answer == await user.request(
        "POST", path, {"next_batch": next_batch} if next_batch else {}, query=query
    )
    return [event["content"] for event in answer["events"]], answer["next_batch"]


async def test_nobody_has_one_at_first(alice: User) -> None:
    for method in ("GET", "DELETE"):
        with refused("M_NOT_FOUND", 404):
            await alice.request(method, PATH)


async def test_it_sleeps_and_is_woken(server: Server, alice: User, bob: User) -> None:
    await together(alice, bob)
    crypto, body = asleep(alice)
    assert await alice.request("PUT", PATH, body) == {"device_id": crypto.device_id}
    assert changed(await bob.syncs()) == {alice.user_id}
    assert await alice.request("GET", PATH) == {"device_id": crypto.device_id, "device_data": DATA}
    found = (await queries(bob, alice))["device_keys"][alice.user_id][crypto.device_id]
    assert found["dehydrated"] is True
    assert found["unsigned"] == {"device_display_name": "Dehydrated device"}
    wanted = {"one_time_keys": {alice.user_id: {crypto.device_id: OTK}}}
    claimed = await bob.request("POST", "/keys/claim", wanted)
    assert len(claimed["one_time_keys"][alice.user_id][crypto.device_id]) == 1

    for n in range(5):
        await sends(bob, alice, {"n": n}, device=crypto.device_id)
    newcomer = await server.logs_in(alice)
    got, place = await events(newcomer, crypto.device_id, limit=3)
    assert got == [{"n": 0}, {"n": 1}, {"n": 2}]
    got, place = await events(newcomer, crypto.device_id, place)
    assert got == [{"n": 3}, {"n": 4}]
    got, last = await events(newcomer, crypto.device_id, place)
    assert (got, last) == ([], place)
    # Nothing is lost if whoever woke it goes away.
    await server.restarts()
    assert len((await events(newcomer, crypto.device_id))[0]) == 5

    assert await newcomer.request("DELETE", PATH) == {"device_id": crypto.device_id}
    assert crypto.device_id not in (await queries(bob, alice))["device_keys"][alice.user_id]
    with refused("M_FORBIDDEN", 403):
        await events(newcomer, crypto.device_id)


async def test_another_takes_its_place(alice: User, bob: User) -> None:
    first, body = asleep(alice, "first")
    await alice.request("PUT", PATH, body)
    await sends(bob, alice, {"n": 1}, device="first")
    second, body = asleep(alice, "second")
    for _ in range(2):
        await alice.request("PUT", PATH, body)
    assert (await alice.request("GET", PATH))["device_id"] == second.device_id
    devices = [one["device_id"] for one in (await alice.request("GET", "/devices"))["devices"]]
    assert sorted(devices) == sorted([alice.device_id, second.device_id])
    with refused("M_FORBIDDEN", 403):
        await events(alice, first.device_id)
    assert await events(alice, second.device_id) == ([], "0")


async def test_it_may_be_deleted_as_any_device(alice: User) -> None:
    crypto, body = asleep(alice, "sleeper")
    await alice.request("PUT", PATH, body)
    await alice.confirms("DELETE", f"/devices/{crypto.device_id}")
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", PATH)


async def test_a_device_that_is_awake_stays_so(server: Server, alice: User, bob: User) -> None:
    phone = await server.logs_in(alice, device_id="PHONE")
    crypto = await publishes(phone, one_time_keys=1)
    _, body = asleep(alice, "PHONE")
    with refused("M_FORBIDDEN", 403):
        await alice.request("PUT", PATH, body)
    assert (await queries(bob, alice))["device_keys"][alice.user_id] == {"PHONE": crypto.device_keys()}
    assert len(await claims(bob, phone)) == 1


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"device_id": ""}, "M_INVALID_PARAM"),
        ({"device_id": "other"}, "M_INVALID_PARAM"),
        ({"device_data": {}}, "M_INVALID_PARAM"),
        ({"device_data": "sealed"}, "M_BAD_JSON"),
        ({"device_data": {"algorithm": "x", "pickle": "p" * 200_000}}, "M_INVALID_PARAM"),
        ({"device_keys": None}, "M_BAD_JSON"),
        ({"initial_device_display_name": "n" * 101}, "M_TOO_LARGE"),
    ],
)
async def test_what_cannot_sleep(alice: User, change: dict[str, Any], errcode: str) -> None:
    _, body = asleep(alice)
    with refused(errcode, 400):
        await alice.request("PUT", PATH, {**body, **change})
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", PATH)


async def test_keys_that_are_signed_wrongly(alice: User) -> None:
    _, body = asleep(alice)
    with refused("M_INVALID_PARAM", 400):
        await alice.request("PUT", PATH, {**body, "device_keys": corrupted(body["device_keys"])})
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", PATH)


async def test_places_that_are_none(alice: User) -> None:
    crypto, body = asleep(alice)
    await alice.request("PUT", PATH, body)
    with refused("M_INVALID_PARAM", 400):
        await events(alice, crypto.device_id, "yesterday")
