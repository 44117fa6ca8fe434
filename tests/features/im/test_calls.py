"""Calls through the facade, with a stock client at the other end."""

from __future__ import annotations

from typing import Any

from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

OFFER = {"type": "offer", "sdp": "v=0"}


async def test_a_stock_client_is_called_and_answers(alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(inviting=bob, is_direct=True)
    await bob.joins(room)
    begun = await alice.request("POST", f"/im/v1/conversations/{room}/calls", {"offer": OFFER})
    await bob.sees(room, event=begun["event_id"])
    invite = (await bob.event(room, begun["event_id"]))["content"]
    assert (invite["call_id"], invite["version"], invite["offer"]) == (begun["call_id"], "1", OFFER)
    assert invite["party_id"] == alice.device_id
    await bob.sends(
        room,
        "m.call.answer",
        {
            "call_id": begun["call_id"],
            "party_id": bob.device_id,
            "version": "1",
            "answer": {"type": "answer", "sdp": "v=0"},
        },
    )
    path = f"/im/v1/calls/{begun['call_id']}"
    with refused("M_INVALID_PARAM", 400):
        await alice.request("POST", f"{path}/select", {})
    with refused("M_FORBIDDEN", 403):
        await carol.request("POST", f"{path}/hangup", {})
    await alice.request("POST", f"{path}/select", {"selected_party_id": bob.device_id})
    ended = await alice.request("POST", f"{path}/hangup", {"reason": "user_hangup"})
    await bob.sees(room, event=ended["event_id"])
    hangup: dict[str, Any] = await bob.event(room, ended["event_id"])
    assert (hangup["type"], hangup["content"]["reason"]) == ("m.call.hangup", "user_hangup")


async def test_a_call_from_a_stock_client_is_rejected(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    invite = {"call_id": "c1", "party_id": "x", "version": "1", "lifetime": 60_000, "offer": OFFER}
    await alice.sends(room, "m.call.invite", invite)
    rejected = await bob.request("POST", "/im/v1/calls/c1/reject", {})
    await alice.sees(room, event=rejected["event_id"])


async def test_a_call_goes_on_after_a_restart(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    begun = await alice.request("POST", f"/im/v1/conversations/{room}/calls", {"offer": OFFER})
    await server.restarts()
    ended = await bob.request("POST", f"/im/v1/calls/{begun['call_id']}/reject", {})
    await alice.sees(room, event=ended["event_id"])


async def test_bad_calls_are_refused(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    with refused("M_INVALID_PARAM", 400):
        await alice.request("POST", f"/im/v1/conversations/{room}/calls", {"offer": {"type": "offer"}})
    with refused("M_FORBIDDEN", 403):
        await bob.request("POST", f"/im/v1/conversations/{room}/calls", {"offer": OFFER})
    with refused("M_NOT_FOUND", 404):
        await alice.request("POST", "/im/v1/calls/unknown/hangup", {})


def test_servers_for_calls_are_named_with_credentials(make_server: ServerFactory) -> None:
    server = make_server(turn_uris=["turn:turn.test"], turn_shared_secret="hush")
    server.drive(check_credentials(server))


async def check_credentials(server: Server) -> None:
    alice = await server.user("alice")
    answer = await alice.request("GET", "/im/v1/calls/turn")
    assert answer == await alice.request("GET", "/voip/turnServer")
    assert answer["uris"] == ["turn:turn.test"]
    assert answer["username"].endswith(f":{alice.user_id}")
