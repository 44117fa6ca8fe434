"""What federation costs between two server processes, over TLS on the loopback, both on SQLite.

python -m tests.benchmark.federation_peers pdus|join hearth|synapse [--number N]

`pdus`: two servers of that kind; what a message costs that one of them sends to the other. `join`: a room of many
members on a Hearth, which a server of that kind joins. Synapse is installed on first use, as the interop tests do it.

More than 1,000 messages would tell nothing: a Hearth that is left so far behind is told of the newest ones only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.benchmark.sync_transports import AT_ONCE, CLIENT, Somebody, cpu_s, in_turns
from tests.harness.process import ServerProcess
from tests.interop.peer.certificates import Certificates, make_certificates
from tests.interop.peer.conftest import make_hearth
from tests.interop.peer.synapse import SynapseProcess, installed_synapse

WARMING = 50
# Rarely: asking costs the server as well.
POLL_S = 0.5
AFTERMATH_S = 20
ARRIVES_WITHIN_S = 120
TIMEOUT_S = 1200
# Both kinds make it, and its rooms have the resident server's name in their ID.
ROOM_VERSION = "11"


def make(kind: str, directory: Path, certificates: Certificates) -> ServerProcess:
    if kind == "hearth":
        return make_hearth(directory, certificates, enable_rate_limits=False)
    return SynapseProcess(directory, certificates, installed_synapse())


@asynccontextmanager
async def running(*kinds: str) -> AsyncIterator[tuple[list[ServerProcess], aiohttp.ClientSession]]:
    with tempfile.TemporaryDirectory() as directory:
        certificates = make_certificates(Path(directory))
        servers = [make(kind, Path(directory) / str(at), certificates) for at, kind in enumerate(kinds)]
        try:
            for server in servers:
                server.start()
            connector = aiohttp.TCPConnector(limit=0)
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
                yield servers, http
        finally:
            for server in servers:
                server.kill()


async def person(http: aiohttp.ClientSession, server: ServerProcess, name: str) -> Somebody:
    made = Somebody(http, server.base_url)
    await made.register(name)
    return made


async def asks(who: Somebody, method: str, path: str, body: Any = None) -> Any:
    return json.loads(await who.ask(method, f"{CLIENT}{path}", body))


async def makes_room(who: Somebody) -> str:
    body = {"preset": "public_chat", "room_version": ROOM_VERSION}
    return str((await asks(who, "POST", "/createRoom", body))["room_id"])


async def joins(who: Somebody, room: str, resident: ServerProcess) -> None:
    await asks(who, "POST", f"/join/{room}?via={resident.server_name}&server_name={resident.server_name}", {})


async def newest(who: Somebody, room: str) -> set[str]:
    page = await asks(who, "GET", f"/rooms/{room}/messages?dir=b&limit=100")
    return {event["event_id"] for event in page["chunk"]}


async def sends(who: Somebody, room: str, number: int, at_once: int) -> set[str]:
    """Send messages; the event IDs of the last ones."""
    sent: list[bytes] = []

    async def one(_: int) -> None:
        sent.append(await who.send(room))

    await in_turns(one, number, at_once)
    return {event_id.decode() for event_id in sent[-2 * AT_ONCE :]}


async def arrive(wanted: set[str], reader: Somebody, room: str) -> None:
    """Wait until the reader's server has these; there is nothing to wait on but its answers."""
    ends = time.monotonic() + ARRIVES_WITHIN_S
    found = await newest(reader, room)
    while not wanted <= found:
        assert time.monotonic() < ends, f"{wanted - found} did not arrive"
        await asyncio.sleep(POLL_S)
        found = await newest(reader, room)


async def messages(who: Somebody, room: str) -> int:
    """How many messages the server has."""
    found, start = 0, ""
    while True:
        page = await asks(who, "GET", f"/rooms/{room}/messages?dir=b&limit=100{start}")
        found += len([event for event in page["chunk"] if event["type"] == "m.room.message"])
        if not page["chunk"] or "end" not in page:
            return found
        start = f"&from={page['end']}"


async def measure_pdus(kind: str, number: int) -> None:
    async with running(kind, kind) as ((sending, receiving), http):
        alice, bob = await person(http, sending, "alice"), await person(http, receiving, "bob")
        room = await makes_room(alice)
        await joins(bob, room, sending)
        await arrive(await sends(alice, room, WARMING, AT_ONCE), bob, room)
        for at_once in (1, AT_ONCE):
            before, began = (cpu_s(sending), cpu_s(receiving)), time.perf_counter()
            last = await sends(alice, room, number, at_once)
            sent = time.perf_counter() - began
            await arrive(last, bob, room)
            took = time.perf_counter() - began
            costs = (cpu_s(sending) - before[0], cpu_s(receiving) - before[1])
            each = [f"{cost / number * 1000:.2f} ms" for cost in costs]
            print(
                f"{number} messages, {at_once} at once: sent in {sent:.1f} s, received after {took:.1f} s, "
                f"{number / took:.0f} a second; CPU of a message: sender {each[0]}, receiver {each[1]}",
                flush=True,
            )
        print(f"{await messages(bob, room)} of {WARMING + 2 * number} messages are there")


async def measure_join(kind: str, number: int) -> None:
    async with running("hearth", kind) as ((resident, joining), http):
        alice, bob = await person(http, resident, "alice"), await person(http, joining, "bob")
        room = await makes_room(alice)

        async def enters(count: int) -> None:
            await (await person(http, resident, f"member{count}")).join(room)

        began = time.perf_counter()
        await in_turns(enters, number)
        print(f"{number} members came in {time.perf_counter() - began:.0f} s", flush=True)
        before, began = (cpu_s(resident), cpu_s(joining)), time.perf_counter()

        def say(what: str) -> None:
            took = time.perf_counter() - began
            costs = (cpu_s(resident) - before[0], cpu_s(joining) - before[1])
            print(
                f"{what}: {took:.2f} s; CPU: resident {costs[0]:.2f} s, joining {costs[1]:.2f} s", flush=True
            )

        await joins(bob, room, resident)
        say("until the join answers")
        sent = await sends(bob, room, 1, 1)
        say("until the first message is sent")
        members = (await asks(bob, "GET", f"/rooms/{room}/members?membership=join"))["chunk"]
        assert len(members) == number + 2, len(members)
        say("until all members are known")
        await arrive(sent, alice, room)
        say("until the message has arrived")
        await asyncio.sleep(AFTERMATH_S)
        say(f"{AFTERMATH_S} s later")


ROWS = {"pdus": (measure_pdus, 1000), "join": (measure_join, 10_000)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.federation_peers")
    parser.add_argument("row", choices=sorted(ROWS))
    parser.add_argument("kind", choices=("hearth", "synapse"))
    parser.add_argument("--number", type=int, help="how many messages (at most 1,000) or members")
    options = parser.parse_args()
    measure, number = ROWS[options.row]
    asyncio.run(measure(options.kind, options.number or number))


if __name__ == "__main__":
    main()
