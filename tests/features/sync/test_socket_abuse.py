"""What a WebSocket withstands: floods, bombs, broken frames, peers who say nothing, and a thousand at once."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import pytest

from tests.features.e2ee.people import sends
from tests.features.e2ee.test_to_device import stored
from tests.harness.server import Server
from tests.harness.socket import CONTINUATION, PING, PONG, TEXT, frame, opens_socket
from tests.harness.user import User

KIB = 1024
LIMIT = 128 * KIB


async def test_every_path_that_clients_know(server: Server, alice: User) -> None:
    for path in ("r0/stream", "v3/stream", "v1/stream", "unstable/stream", "ws/r0"):
        socket = opens_socket(server, alice.access_token, path=f"/_matrix/client/{path}")
        assert "next_batch" in await socket.receives()


async def test_an_update_may_be_larger_than_a_request(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    for _ in range(8):
        await alice.says(room, "x" * 30 * KIB)
    socket = opens_socket(server, alice.access_token)
    update = await socket.receives()
    timeline = update["rooms"]["join"][room]["timeline"]["events"]
    assert sum(len(event["content"].get("body", "")) for event in timeline) == 8 * 30 * KIB


async def test_a_thousand_sockets_of_one_user(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    sockets = [opens_socket(server, alice.access_token) for _ in range(1000)]
    statuses = Counter([await socket.is_answered() for socket in sockets])
    assert statuses == {101: 32, 429: 968}
    await bob.says(room, "hello")
    for socket in sockets:
        if socket.status == 101:
            await socket.receives()
            assert "hello" in str(await socket.receives())
    others = opens_socket(server, bob.access_token)
    assert await others.is_answered() == 101


async def test_nothing_is_taken_from_who_does_not_read(server: Server, alice: User) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    socket.transport.hold()
    for number in range(5000):
        socket.sends({"id": str(number), "method": "ping"})
        socket.sends(b"are you there", opcode=PING)
    assert socket.transport.unread < 2 * socket.transport.high_water
    socket.transport.release()
    answered = [(await socket.receives())["id"] for _ in range(5000)]
    assert answered == [str(number) for number in range(5000)]


async def test_who_never_reads_is_dropped_and_loses_nothing(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    socket = opens_socket(server, bob.access_token)
    since = (await socket.receives())["next_batch"]
    socket.transport.high_water = 10
    socket.transport.hold()
    await sends(alice, bob, {"n": 1})
    for number in range(9):
        await alice.says(room, str(number))
    assert socket.transport.unread < 20 * KIB
    await server.passes(200)
    assert socket.is_lost
    again = opens_socket(server, bob.access_token, since=since)
    update = await again.receives()
    events = update["rooms"]["join"][room]["timeline"]["events"]
    assert [event["content"]["body"] for event in events] == [str(number) for number in range(9)]
    assert [event["content"] for event in update["to_device"]["events"]] == [{"n": 1}]


async def test_a_session_that_ends_while_nobody_reads_gets_no_more(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    socket = opens_socket(server, bob.access_token)
    await socket.receives()
    socket.transport.high_water = 10
    socket.transport.hold()
    await alice.says(room, "before")
    await server.passes(1)
    await bob.logs_out()
    await alice.says(room, "after")
    socket.sends({"id": "1", "method": "send", "params": {}})
    socket.transport.release()
    assert "before" in str(await socket.receives())
    assert (await socket.receives())["error"]["errcode"] == "M_UNKNOWN_TOKEN"
    assert await socket.is_closed() == 3002


async def test_a_locked_account_closes_its_sockets(server: Server, alice: User) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    await server.homeserver.services.users.accounts.set_locked(alice.user_id, locked=True)
    assert await socket.is_closed() == 3003


async def test_a_deactivated_account_closes_its_sockets(server: Server, alice: User) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    await server.homeserver.services.users.deactivation.deactivate(alice.user_id, erase=False)
    assert await socket.is_closed() == 3003


async def test_a_close_that_is_not_answered_ends_all_the_same(server: Server, alice: User) -> None:
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    socket.answers_close = False
    await alice.logs_out()
    assert await socket.is_closed() == 3002
    assert not socket.is_lost
    await server.passes(6)
    assert socket.is_lost


BROKEN = {
    "not masked": (b"\x81\x02hi", 1002),
    "an opcode that is none": (frame(3, b"?"), 1002),
    "the middle of nothing": (frame(CONTINUATION, b"?"), 1002),
    "half a ping": (frame(PING, b"?", is_last=False), 1002),
    "a long ping": (frame(PING, b"?" * 126), 1002),
    "no UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "compressed without having said so": (frame(TEXT, b"?", is_compressed=True), 1002),
    "long in parts": (frame(TEXT, b" " * LIMIT, is_last=False) + frame(CONTINUATION, b" "), 1009),
    "endless": (bytes([0x81, 0xFF]) + (1 << 62).to_bytes(8, "big") + b"\0" * 4, 1009),
}


async def test_broken_frames_close_the_socket(server: Server, alice: User) -> None:
    for what, (data, code) in BROKEN.items():
        socket = opens_socket(server, alice.access_token)
        await socket.receives()
        socket.transport.deliver(data)
        assert await socket.is_closed() == code, what


@pytest.mark.parametrize(("size", "is_closed"), [(LIMIT - 100, False), (100 * LIMIT, True)])
async def test_compressed_frames_are_measured_unpacked(
    server: Server, alice: User, size: int, *, is_closed: bool
) -> None:
    deflate = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    socket = opens_socket(server, alice.access_token, headers=deflate)
    await socket.receives()
    assert b"permessage-deflate" in socket.head
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    request = b'{"id":"1","method":"ping","params":{"x":"' + b" " * size + b'"}}'
    packed = (packer.compress(request) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    socket.transport.deliver(frame(TEXT, packed, is_compressed=True))
    if is_closed:
        assert await socket.is_closed() == 1009
    else:
        assert (await socket.receives())["result"] == {}


async def test_a_pong_that_nobody_asked_for_acknowledges_nothing(
    server: Server, alice: User, bob: User
) -> None:
    await sends(alice, bob, {"n": 1})
    socket = opens_socket(server, bob.access_token)
    socket.answers_pings = False
    await socket.receives()
    for payload in (b"s999999999_0", b"s", b"snonsense", b"\xff", b""):
        socket.sends(payload, opcode=PONG)
    await server.passes(5)
    assert await stored(server, bob) == 1
    socket.sends(socket.pings[0], opcode=PONG)
    await server.passes(5)
    assert await stored(server, bob) == 0


async def test_a_handshake_that_is_none_leaves_nothing_open(server: Server, alice: User) -> None:
    wrong: list[tuple[dict[str, str], int]] = [
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Version": "7"}, 400),
        ({"Upgrade": ""}, 426),
    ]
    for headers, status in wrong * 15:
        socket = opens_socket(server, alice.access_token, headers=headers)
        assert await socket.is_answered() == status
    fine = opens_socket(server, alice.access_token)
    assert "next_batch" in await fine.receives()


async def test_the_id_of_a_request_is_its_transaction(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    socket = opens_socket(server, alice.access_token)
    await socket.receives()

    async def sets(request_id: str, topic: str) -> Any:
        asked = {"room_id": room, "event_type": "m.room.topic", "content": {"topic": topic}}
        return (await socket.asks("state", request_id, **asked))["result"]["event_id"]

    first = await sets("1", "tea")
    assert await sets("2", "coffee") != first
    assert await sets("1", "tea") == first
    assert await alice.state(room, "m.room.topic") == {"topic": "coffee"}


async def test_a_chosen_presence_outlives_the_next_update(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    socket = opens_socket(server, alice.access_token)
    await socket.receives()
    await socket.asks("presence", "1", presence="unavailable")
    await bob.says(room, "hello")
    await server.passes(70)
    status = await bob.request("GET", f"/presence/{alice.user_id}/status")
    assert status["presence"] == "unavailable"
