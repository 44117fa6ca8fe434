"""What following costs a running server: sliding sync, sockets beside long-polls, and first syncs of many rooms.

python -m tests.benchmark.sync_transports [rooms|delivery] [--rooms 2000] [--readers 100] [--messages 100]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.harness.configuration import PASSWORD
from tests.harness.process import ServerProcess

CLIENT = "/_matrix/client/v3"
SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
SLIDING_LIST = {
    "ranges": [[0, 19]],
    "timeline_limit": 10,
    "required_state": [
        ["m.room.create", ""],
        ["m.room.name", ""],
        ["m.room.avatar", ""],
        ["m.room.encryption", ""],
        ["m.room.member", "$LAZY"],
    ],
}
AT_ONCE = 16
INITIALS = 50
CONNECTIONS = 10
MESSAGES = 100
SETTLE_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Somebody:
    """A user, over the connections that everybody shares."""

    _numbers = itertools.count()

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self._http = http
        self.url = url
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self._http.request(method, self.url + path, data=data, headers=headers) as answer:
            content = await answer.read()
            assert answer.status == 200, (answer.status, content[:300])
            return content

    async def register(self, name: str) -> None:
        body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        self.token = json.loads(await self.ask("POST", f"{CLIENT}/register", body))["access_token"]

    async def create_room(self, name: str) -> str:
        body = {"preset": "public_chat", "name": name}
        return str(json.loads(await self.ask("POST", f"{CLIENT}/createRoom", body))["room_id"])

    async def join(self, room: str) -> None:
        await self.ask("POST", f"{CLIENT}/join/{room}", {})

    async def send(self, room: str) -> bytes:
        """Send a message; its event ID, as it stands in answers."""
        path = f"{CLIENT}/rooms/{room}/send/m.room.message/{next(self._numbers)}"
        answer = json.loads(await self.ask("PUT", path, {"msgtype": "m.text", "body": "hello"}))
        return str(answer["event_id"]).encode()

    async def slide(self, connection: str, position: str | None = None) -> tuple[str, bytes]:
        """One request of sliding sync; the next position, and the answer."""
        path = f"{SLIDING}?timeout=0" + (f"&pos={position}" if position else "")
        answer = await self.ask("POST", path, {"conn_id": connection, "lists": {"all": SLIDING_LIST}})
        return json.loads(answer)["pos"], answer

    def follow_im(self) -> Any:
        """The IM API's socket."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return self._http.ws_connect(f"{self.url}/im/v1/ws", headers=headers, max_msg_size=0)

    def follow(self) -> Any:
        return self._http.ws_connect(
            f"{self.url}{CLIENT}/stream?access_token={self.token}", protocols=("m.json",), max_msg_size=0
        )


@asynccontextmanager
async def running() -> AsyncIterator[tuple[ServerProcess, aiohttp.ClientSession]]:
    with tempfile.TemporaryDirectory() as directory:
        server = ServerProcess(Path(directory))
        server.start()
        try:
            connector = aiohttp.TCPConnector(limit=0)
            timeout = aiohttp.ClientTimeout(total=300)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
                yield server, http
        finally:
            server.stop()


async def restart(server: ServerProcess) -> None:
    server.stop()
    server.start()
    # The client sees that its connections are closed.
    await asyncio.sleep(SETTLE_S)


def cpu_s(server: ServerProcess) -> float:
    """The processor time of the server until now, in user code and in the kernel."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


async def cost(server: ServerProcess, do: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """The time and the server's processor time of something, in seconds."""
    cpu, began = cpu_s(server), time.perf_counter()
    await do()
    return time.perf_counter() - began, cpu_s(server) - cpu


async def in_turns(do: Callable[[int], Awaitable[object]], count: int, at_once: int = AT_ONCE) -> None:
    """Do it so many times, several at once."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await do(number)

    await asyncio.gather(*(work() for _ in range(at_once)))


async def measure_rooms(count: int) -> None:
    """Sliding sync and first syncs of a user in many small rooms."""
    async with running() as (server, http):
        alice, bob = (Somebody(http, server.base_url) for _ in range(2))
        await alice.register("alice")
        await bob.register("bob")
        rooms: list[str] = []

        async def make(number: int) -> None:
            room = await bob.create_room(f"Room {number}")
            await alice.join(room)
            await bob.send(room)
            rooms.append(room)

        took, cpu = await cost(server, lambda: in_turns(make, count))
        print(f"{count} rooms made: {took:.1f} s, CPU {cpu / count * 1000:.2f} ms a room")
        await restart(server)
        for state in ("cold", "warm", "warm"):
            answers: list[bytes] = []

            async def first_sync(answers: list[bytes] = answers) -> None:
                answers.append(await alice.ask("GET", f"{CLIENT}/sync?timeout=0"))

            took, cpu = await cost(server, first_sync)
            joined = len(json.loads(answers[0])["rooms"]["join"])
            size = len(answers[0]) / 2**20
            print(f"initial /sync of {joined} rooms, {state}: {took:.2f} s, CPU {cpu:.2f} s, {size:.1f} MiB")
        await measure_sliding(server, alice, bob, rooms)


async def measure_sliding(server: ServerProcess, alice: Somebody, bob: Somebody, rooms: list[str]) -> None:
    await restart(server)
    took, cpu = await cost(server, lambda: alice.slide("cold"))
    print(f"sliding sync, initial, cold: {took * 1000:.0f} ms, CPU {cpu * 1000:.0f} ms")

    async def initials() -> None:
        for number in range(INITIALS):
            await alice.slide(f"warm {number}")

    took, cpu = await cost(server, initials)
    print(f"sliding sync, initial: {took / INITIALS * 1000:.2f} ms, CPU {cpu / INITIALS * 1000:.2f} ms")

    # Several connections follow, so that the sends between are a small part of what is measured.
    following: dict[str, str | None] = {f"following {number}": None for number in range(CONNECTIONS)}

    async def sends() -> None:
        for number in range(MESSAGES):
            await bob.send(rooms[number % 20])

    async def sends_and_syncs() -> None:
        for number in range(MESSAGES):
            event_id = await bob.send(rooms[number % 20])
            for connection, position in following.items():
                following[connection], answer = await alice.slide(connection, position)
                assert event_id in answer

    await sends_and_syncs()
    _, alone = await cost(server, sends)
    for connection, position in following.items():
        following[connection], _ = await alice.slide(connection, position)
    _, both = await cost(server, sends_and_syncs)
    each = (both - alone) / MESSAGES / CONNECTIONS * 1000
    print(f"sliding sync, one message arrived: CPU {each:.3f} ms (send {alone / MESSAGES * 1000:.2f} ms)")


class Readers:
    """Counts who has a message, and says when everybody does."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._awaited = b""
        self._have = 0
        self._everybody = asyncio.Event()

    async def have(self, event_id: bytes) -> None:
        while self._awaited != event_id or self._have < self._count:
            await self._everybody.wait()
            self._everybody.clear()

    def read(self, answer: bytes) -> None:
        _, found, rest = answer.rpartition(b'"event_id":"')
        if not found:
            return
        event_id = rest.partition(b'"')[0]
        if event_id != self._awaited:
            self._awaited, self._have = event_id, 0
        self._have += 1
        if self._have == self._count:
            self._everybody.set()

    async def poll(self, user: Somebody, ready: asyncio.Event) -> None:
        since = json.loads(await user.ask("GET", f"{CLIENT}/sync?timeout=0"))["next_batch"]
        ready.set()
        while True:
            answer = await user.ask("GET", f"{CLIENT}/sync?timeout=60000&since={since}")
            since = json.loads(answer)["next_batch"]
            self.read(answer)

    async def listen(self, user: Somebody, ready: asyncio.Event) -> None:
        await self._listen(user.follow(), ready)

    async def listen_im(self, user: Somebody, ready: asyncio.Event) -> None:
        await self._listen(user.follow_im(), ready)

    async def _listen(self, opening: Any, ready: asyncio.Event) -> None:
        async with opening as line:
            await line.receive()
            ready.set()
            async for message in line:
                data = message.data.encode()
                json.loads(data)
                self.read(data)


async def measure_delivery(readers: int, messages: int) -> None:
    """One room, its messages read by sockets and then by long-polls."""
    async with running() as (server, http):
        sender = Somebody(http, server.base_url)
        await sender.register("sender")
        room = await sender.create_room("Everybody")
        users = [Somebody(http, server.base_url) for _ in range(readers)]

        async def come(number: int) -> None:
            await users[number].register(f"reader{number}")
            await users[number].join(room)

        await in_turns(come, readers)

        async def sends() -> None:
            for _ in range(messages):
                await sender.send(room)

        await sends()
        _, alone = await cost(server, sends)
        print(f"send to {readers} members, nobody reads: CPU {alone / messages * 1000:.2f} ms")
        for _ in range(2):
            followers = (
                ("socket", Readers.listen),
                ("IM socket", Readers.listen_im),
                ("long-poll", Readers.poll),
            )
            for name, follow in followers:
                counted = Readers(readers)
                ready = [asyncio.Event() for _ in users]
                tasks = [
                    asyncio.create_task(follow(counted, user, one))
                    for user, one in zip(users, ready, strict=True)
                ]
                await asyncio.gather(*(one.wait() for one in ready))
                # The long-polls that follow the first answers are under way.
                await asyncio.sleep(SETTLE_S)

                async def deliver(counted: Readers = counted) -> None:
                    for _ in range(messages):
                        await counted.have(await sender.send(room))

                await deliver()
                took, cpu = await cost(server, deliver)
                each = (cpu - alone) / messages / readers * 1000
                print(f"{name}: CPU {each:.3f} ms an arrival, {took / messages * 1000:.1f} ms a message")
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("rooms", "delivery"))
    parser.add_argument("--rooms", type=int, default=2000)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--messages", type=int, default=100)
    given = parser.parse_args()
    if given.what != "delivery":
        asyncio.run(measure_rooms(given.rooms))
    if given.what != "rooms":
        asyncio.run(measure_delivery(given.readers, given.messages))


if __name__ == "__main__":
    main()
