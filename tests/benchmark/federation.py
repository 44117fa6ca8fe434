"""What federation costs: `python -m tests.benchmark.federation pdus|join|resolution|state [--number N]`.

Whole servers in one process, on SQLite files and a network in memory that carries the bytes of HTTP; all figures are
CPU time of the process, which holds both sides and the harness, so they are upper bounds.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from homeserver.app.federation import Outside
from homeserver.events import state_tree
from homeserver.events.state_tree import key_hash
from homeserver.ids import RoomID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.resolution import StoredRoom
from homeserver.rooms.writer import Draft
from homeserver.runtime.clock import Clock
from storage.transaction import Transaction
from tests.fixtures.databases import EPOCH_S, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.network import Network
from tests.harness.server import Server

BATCH = 500
FORKED = 50


class Servers:
    """Two servers, `one.test` and `two.test`."""

    def __init__(self, directory: Path) -> None:
        self.reactor = VirtualReactor()
        self.directory = directory
        self._network = Network(Clock(self.reactor, epoch_s=EPOCH_S))

    async def start(self, name: str) -> Server:
        path = self.directory / f"{name}.db"
        path.write_bytes(schema_image())
        server = Server(self.reactor, SqliteEngine(str(path)), name=name, seed=name, trusted_key_servers=[])
        transport = self._network.way_out(name)
        server.outside = Outside(transport, transport)
        self._network.plug_in(name, server)
        await server.starts()
        return server


async def live(server: Server, room: str) -> LiveRoom:
    return await server.homeserver.services.rooms.rooms.load(RoomID(room))


async def appends(server: Server, room: str, drafts: list[Draft]) -> None:
    """Have many events in a room, without accounts for their senders."""
    writer = server.homeserver.services.rooms.writer
    for first in range(0, len(drafts), BATCH):
        await writer.append(await live(server, room), drafts[first : first + BATCH])


def join_of(number: int, name: str = "") -> Draft:
    user = UserID(f"@member{number}:one.test")
    return Draft(
        "m.room.member", user, {"membership": "join", "displayname": name or f"Member {number}"}, user
    )


def say(what: str, value: float, unit: str) -> None:
    sys.stdout.write(f"{what}: {value:.3f} {unit}\n")
    sys.stdout.flush()


async def pdus(servers: Servers, number: int) -> None:
    """What a message costs that goes to another server."""
    one, two = await servers.start("one.test"), await servers.start("two.test")
    alice, bob = await one.user("alice"), await two.user("bob")
    costs = []
    for is_shared in (False, True):
        room = await alice.creates_room(public=True)
        if is_shared:
            await bob.joins(room, via=["one.test"])
            await one.passes(5)
        began = time.process_time()
        for count in range(number):
            await alice.says(room, str(count))
        await one.passes(5)
        costs.append((time.process_time() - began) / number * 1000)
        if is_shared:
            page = await bob.messages(room, limit=1)
            assert page["chunk"][0]["content"]["body"] == str(number - 1)
    say("a message to nobody else", costs[0], "ms")
    say("a message to another server, sent and received", costs[1], "ms")
    say("of it, the other server's and the way there", costs[1] - costs[0], "ms")


async def join(servers: Servers, number: int) -> None:
    """What it costs to join a room with many members."""
    one, two = await servers.start("one.test"), await servers.start("two.test")
    alice, bob = await one.user("alice"), await two.user("bob")
    room = await alice.creates_room(public=True)
    await appends(one, room, [join_of(each) for each in range(number)])
    began = time.process_time()
    await bob.joins(room, via=["one.test"])
    say("until the join answers", time.process_time() - began, "s")
    await bob.says(room, "hello")
    assert len(await bob.members(room)) == number + 2
    say("until all members are known", time.process_time() - began, "s")


async def resolution(servers: Servers, number: int) -> None:
    """What it costs to resolve two forks that differ in 50 entries of a large state."""
    one = await servers.start("one.test")
    alice = await one.user("alice")
    room = await alice.creates_room(public=True)
    await appends(one, room, [join_of(each) for each in range(number)])
    base = (await live(one, room)).root
    await appends(one, room, [join_of(each, "one") for each in range(FORKED // 2)])
    first = (await live(one, room)).root
    await appends(one, room, [join_of(each, "two") for each in range(FORKED // 2, FORKED)])
    room_now = await live(one, room)
    numbers = {}
    for each in range(FORKED // 2, FORKED):
        key = ("m.room.member", f"@member{each}:one.test")
        numbers[key_hash(*key)] = state_tree.get(room_now.root, key_hash(*key), room_now.nodes.__getitem__)
    second, nodes = state_tree.update(base, numbers, room_now.nodes.__getitem__)

    def resolve(txn: Transaction) -> float:
        stored = StoredRoom(txn, room_now.room_id, room_now.version, nodes)
        began = time.process_time()
        stored.resolve([first, second])
        return (time.process_time() - began) * 1000

    times = sorted([await one.homeserver.surroundings.database.read(resolve) for _ in range(5)])
    say(f"two forks that differ in {FORKED} of {number} state events", times[2], "ms (median of 5)")


async def state(servers: Servers, number: int) -> None:
    """How much disk a state event takes."""
    one = await servers.start("one.test")
    alice = await one.user("alice")
    room = await alice.creates_room(public=True)

    def size() -> int:
        return sum(path.stat().st_size for path in servers.directory.glob("one.test.db*"))

    before, began = size(), time.process_time()
    await appends(one, room, [join_of(each) for each in range(number)])
    say("to write a state event", (time.process_time() - began) / number * 1000, "ms")
    await one.stops()
    say(f"on the disk for each of {number} state events", (size() - before) / number / 1024, "KiB")


ROWS = {
    "pdus": (pdus, 1000),
    "join": (join, 10_000),
    "resolution": (resolution, 10_000),
    "state": (state, 100_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.federation")
    parser.add_argument("row", choices=sorted(ROWS))
    parser.add_argument("--number", type=int, help="how many messages, members or state events")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    measure, number = ROWS[options.row]
    with tempfile.TemporaryDirectory() as directory:
        servers = Servers(Path(directory))
        measuring: Coroutine[Any, Any, None] = measure(servers, options.number or number)
        servers.reactor.drive(measuring)


if __name__ == "__main__":
    main()
