"""Following over a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.server import Server
from tests.harness.socket import BINARY, TEXT, opens_socket
from tests.harness.user import User


async def test_the_first_update_comes_at_once_and_then_what_is_new(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    socket = opens_socket(server, bob.access_token)
    first = await socket.receives()
    assert b"Sec-WebSocket-Protocol: m.json" in socket.head
    assert room in first["rooms"]["join"]
    await alice.says(room, "hello")
    update = await socket.receives()
    assert [event["content"]["body"] for event in update["rooms"]["join"][room]["timeline"]["events"]] == [
        "hello"
    ]
    # The token is that of /sync: nothing is lost by changing over.
    await alice.says(room, "hello again")
    by_poll = await bob.syncs(since=update["next_batch"])
    assert [e["content"]["body"] for e in by_poll["rooms"]["join"][room]["timeline"]["events"]] == [
        "hello again"
    ]


async def test_an_empty_first_update_tells_that_the_stream_works(server: Server, alice: User) -> None:
    since = (await alice.syncs())["next_batch"]
    socket = opens_socket(server, alice.access_token, since=since, presence="offline")
    first = await socket.receives()
    assert "next_batch" in first
    assert "rooms" not in first


async def test_requests_are_answered_on_the_line(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    assert (await socket.asks("ping", "1"))["result"] == {}
    sent = await socket.asks(
        "send", "2", room_id=room, event_type="m.room.message", content={"msgtype": "m.text", "body": "hi"}
    )
    again = await socket.asks(
        "send", "2", room_id=room, event_type="m.room.message", content={"msgtype": "m.text", "body": "hi"}
    )
    assert again["result"] == sent["result"]
    await bob.sees(room, "hi", event=sent["result"]["event_id"])
    state = await socket.asks("state", "3", room_id=room, event_type="m.room.topic", content={"topic": "Tea"})
    assert state["result"]["event_id"]
    assert (await socket.asks("typing", "4", room_id=room, typing=True))["result"] == {}
    await bob.sees(room, typing=[alice])
    read = await socket.asks("read_markers", "5", room_id=room, **{"m.read": sent["result"]["event_id"]})
    assert read["result"] == {}
    shown = await socket.asks("presence", "6", presence="unavailable", status_msg="busy")
    assert shown["result"] == {}


@pytest.mark.parametrize(
    ("frame", "errcode"),
    [
        (b"{not json", "M_NOT_JSON"),
        ({"id": "1", "method": "fly"}, "M_BAD_JSON"),
        ({"id": "1", "method": "send", "params": {"room_id": "!r:s"}}, "M_MISSING_PARAM"),
        ({"id": "1", "method": "send", "params": []}, "M_BAD_JSON"),
        ({"method": "ping"}, "M_MISSING_PARAM"),
        ({"id": "1", "method": "presence", "params": {"presence": "asleep"}}, "M_BAD_JSON"),
        ({"id": "1", "method": "presence", "params": {"presence": "online", "mood": "good"}}, "M_BAD_JSON"),
        (
            {"id": "1", "method": "typing", "params": {"room_id": "!nowhere:s", "typing": True}},
            "M_FORBIDDEN",
        ),
    ],
)
async def test_wrong_requests_are_told_and_the_line_stays(
    server: Server, alice: User, frame: Any, errcode: str
) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    socket.sends(frame)
    assert (await socket.receives())["error"]["errcode"] == errcode
    socket.sends(b"\x00\x01", opcode=BINARY)
    assert (await socket.asks("ping", "9"))["result"] == {}


async def test_what_is_wrong_with_the_handshake_is_said_before_it(server: Server, alice: User) -> None:
    token = alice.access_token
    assert await opens_socket(server, None).is_answered() == 401
    assert await opens_socket(server, "no such token").is_answered() == 401
    chat = opens_socket(server, token, headers={"Sec-WebSocket-Protocol": "chat"})
    assert await chat.is_answered() == 400
    assert await opens_socket(server, token, headers={"Upgrade": "h2c"}).is_answered() == 426
    assert await opens_socket(server, token, since="nonsense").is_answered() == 400


async def test_an_ended_session_closes_its_socket(server: Server, alice: User) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    await alice.logs_out()
    assert await socket.is_closed() == 3002


async def test_a_frame_that_is_too_long_closes_the_socket(server: Server, alice: User) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    socket.sends(b"x" * (128 * 1024 + 1), opcode=TEXT)
    assert await socket.is_closed() == 1009


async def test_who_does_not_read_gets_one_larger_update(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    socket = opens_socket(server, bob.access_token)
    await socket.receives()
    socket.transport.high_water = 10
    socket.transport.hold()
    for number in range(30):
        await alice.says(room, f"{number}")
    await server.passes(1)
    socket.transport.release()
    bodies: list[str] = []
    updates = 0
    while "29" not in bodies:
        update = await socket.receives()
        updates += 1
        events = update.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {}).get("events", [])
        bodies += [event["content"]["body"] for event in events]
    assert updates < 10


async def test_a_silent_peer_is_dropped(server: Server, alice: User) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    socket.answers_pings = False
    await server.passes(200)
    assert socket.is_lost


async def test_sockets_are_bounded_for_each_user(server: Server, alice: User) -> None:
    sockets = [opens_socket(server, alice.access_token) for _ in range(32)]
    for socket in sockets:
        await socket.receives()
    refused = opens_socket(server, alice.access_token)
    assert await refused.is_answered() == 429
    sockets[0].vanishes()
    await server.passes(0)
    again = opens_socket(server, alice.access_token)
    await again.receives()
