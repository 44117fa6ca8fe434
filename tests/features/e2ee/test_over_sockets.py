"""Messages to devices over a WebSocket: deleted when a pong tells that they were read, and else they come again."""

from __future__ import annotations

from tests.features.e2ee.people import received, sends
from tests.features.e2ee.test_to_device import stored
from tests.harness.server import Server
from tests.harness.socket import Socket, opens_socket
from tests.harness.user import User

MESSAGES = 250


async def reads(socket: Socket, count: int) -> tuple[list[int], str]:
    """The numbers of the messages that arrive until there are so many, and the last token."""
    got: list[int] = []
    token = ""
    while len(got) < count:
        update = await socket.receives()
        got += [content["n"] for content in received(update)]
        token = update["next_batch"]
    return got, token


async def test_a_long_queue_arrives_whole_and_is_deleted(server: Server, alice: User, bob: User) -> None:
    for n in range(MESSAGES):
        await sends(alice, bob, {"n": n})
    socket = opens_socket(server, bob.access_token)
    assert (await reads(socket, MESSAGES))[0] == list(range(MESSAGES))
    assert await stored(server, bob) == 0
    await sends(alice, bob, {"n": -1})
    assert (await reads(socket, 1))[0] == [-1]
    socket.vanishes()


async def test_what_was_not_ponged_comes_again(server: Server, alice: User, bob: User) -> None:
    for n in range(MESSAGES):
        await sends(alice, bob, {"n": n})
    socket = opens_socket(server, bob.access_token)
    socket.answers_pings = False
    assert (await reads(socket, 100))[0] == list(range(100))
    socket.vanishes()
    assert await stored(server, bob) == MESSAGES
    again = opens_socket(server, bob.access_token)
    assert (await reads(again, MESSAGES))[0] == list(range(MESSAGES))
    again.vanishes()


async def test_the_token_of_a_lost_socket_acknowledges(server: Server, alice: User, bob: User) -> None:
    for n in range(MESSAGES):
        await sends(alice, bob, {"n": n})
    socket = opens_socket(server, bob.access_token)
    socket.answers_pings = False
    first, token = await reads(socket, 100)
    socket.vanishes()
    rest = []
    for _ in range(3):
        answer = await bob.syncs(since=token)
        token = answer["next_batch"]
        rest += [content["n"] for content in received(answer)]
    assert first + rest == list(range(MESSAGES))
    assert await stored(server, bob) == 0
