"""What the IM API's lists and sends cost somebody with many friends: conversations, moments, friends.

    python -m tests.benchmark.im sqlite|postgres [--friends 1000] [--calls 100]

Prints the server's processor time for each call in ms, with that of PostgreSQL's own processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import psutil

from tests.benchmark.sync_transports import CLIENT, Somebody, cpu_s, in_turns
from tests.fixtures.databases import PostgresServer, start_postgres
from tests.harness.process import ServerProcess

IM = "/im/v1"
MOMENTS_EACH = 3
ROUNDS = 5
SETTLES_S = 3.0


class Measure:
    """The processor time of the server, and of PostgreSQL if it has the data."""

    def __init__(self, server: ServerProcess, *, with_postgres: bool) -> None:
        self._server = server
        self._with_postgres = with_postgres

    def _now(self) -> tuple[float, float]:
        theirs = 0.0
        if self._with_postgres:
            for process in psutil.process_iter(["name"]):
                if process.info["name"] == "postgres":
                    times = process.cpu_times()
                    theirs += times.user + times.system
        return cpu_s(self._server), theirs

    async def each(self, do: Callable[[int], Awaitable[object]], count: int) -> tuple[float, float]:
        """What one of `count` costs in ms, in the server and in PostgreSQL."""
        before = self._now()
        for number in range(count):
            await do(number)
        after = self._now()
        return (after[0] - before[0]) / count * 1000, (after[1] - before[1]) / count * 1000


def shown(costs: Sequence[tuple[float, float]]) -> str:
    own, theirs = (statistics.median(each) for each in zip(*costs, strict=True))
    return f"{own:.2f} ms" + (f" + {theirs:.2f} ms in PostgreSQL" if theirs else "")


async def befriend(ann: Somebody, friends: Sequence[Somebody], names: Sequence[str]) -> list[str]:
    """Have everybody accept a request, say something and post; the conversations."""
    rooms: list[str] = [""] * len(friends)

    async def one(number: int) -> None:
        body = {"user_id": f"@{names[number]}:localhost", "message": "hello"}
        asked = json.loads(await ann.ask("POST", f"{IM}/friends/requests", body))
        rooms[number] = asked["room_id"]
        friend = friends[number]
        await friend.ask("POST", f"{CLIENT}/join/{quote(asked['room_id'])}", {})
        await friend.send(asked["room_id"])
        for post in range(MOMENTS_EACH):
            text = {"text": f"{names[number]} posts {post}"}
            await friend.ask("POST", f"{IM}/moments", text)

    await in_turns(one, len(friends))
    return rooms


async def lists(ann: Somebody, measure: Measure, calls: int, friends: int) -> None:
    for what, path in (
        ("conversation list", "/conversations?limit=20"),
        ("conversation list, unread ones", "/conversations?limit=20&filter=unread"),
        ("timeline page", "/moments/timeline?limit=20"),
        ("friend list", "/friends?limit=20"),
        ("friend list of 100", "/friends?limit=100"),
        ("conversation list of 100", "/conversations?limit=100"),
    ):

        async def ask(_number: int, path: str = path) -> None:
            await ann.ask("GET", IM + path)

        answer = json.loads(await ann.ask("GET", IM + path))
        assert len(answer["items"]) == min(friends, 100 if "100" in path else 20), (
            what,
            len(answer["items"]),
        )
        costs = [await measure.each(ask, calls) for _ in range(ROUNDS)]
        print(f"{what}: {shown(costs)}", flush=True)


async def looks(ann: Somebody, measure: Measure, calls: int, name: str) -> None:
    """One user, remembered and (since nobody has asked quite so before) not."""
    found: dict[str, list[tuple[float, float]]] = {"remembered": [], "not": []}

    async def remembered(_number: int) -> None:
        await ann.ask("GET", f"{IM}/users/{name}")

    async def anew(_number: int) -> None:
        await ann.ask("GET", f"{IM}/users/{name}?never={time.monotonic_ns()}")

    await measure.each(remembered, 50)
    for _ in range(ROUNDS):
        found["remembered"].append(await measure.each(remembered, calls))
        found["not"].append(await measure.each(anew, calls))
    print(f"a user: remembered {shown(found['remembered'])}, not {shown(found['not'])}", flush=True)


async def sends(ann: Somebody, measure: Measure, calls: int, rooms: Sequence[str]) -> None:
    async def stock(number: int) -> None:
        await ann.send(rooms[number % 50])

    async def facade(number: int) -> None:
        body: dict[str, Any] = {"type": "text", "body": "hello", "client_msg_id": f"{time.monotonic_ns()}"}
        await ann.ask("POST", f"{IM}/conversations/{quote(rooms[number % 50])}/messages", body)

    await measure.each(stock, 50)
    await measure.each(facade, 50)
    found: dict[str, list[tuple[float, float]]] = {"stock": [], "facade": []}
    for _ in range(ROUNDS):
        found["stock"].append(await measure.each(stock, calls * 3))
        found["facade"].append(await measure.each(facade, calls * 3))
    ratio = statistics.median(map(sum, found["facade"])) / statistics.median(map(sum, found["stock"]))
    print(f"send: stock {shown(found['stock'])}, facade {shown(found['facade'])}, {ratio:.2f} times")


async def main(database: str, friends: int, calls: int, directory: str) -> None:
    settings: dict[str, Any] = {}
    postgres: PostgresServer | None = None
    if database == "postgres":
        postgres = PostgresServer(os.environ.get("HEARTH_TEST_POSTGRES") or start_postgres(durable=True))
        settings["database"] = {"name": "psycopg2", "args": {"dsn": postgres.create_empty().dsn}}
    server = ServerProcess(Path(directory), **settings)
    server.start()
    try:
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            ann = Somebody(http, server.base_url)
            await ann.register("ann")
            names = [f"friend{number}" for number in range(friends)]
            people = [Somebody(http, server.base_url) for _ in names]
            began = time.perf_counter()
            await in_turns(lambda number: people[number].register(names[number]), friends)
            rooms = await befriend(ann, people, names)
            await asyncio.sleep(SETTLES_S)
            print(f"{friends} friends after {time.perf_counter() - began:.0f} s", flush=True)
            measure = Measure(server, with_postgres=postgres is not None)
            await lists(ann, measure, calls, friends)
            await looks(ann, measure, calls, names[0])
            await sends(ann, measure, calls, rooms)
    finally:
        server.stop()
        if postgres is not None:
            postgres.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database", choices=("sqlite", "postgres"))
    parser.add_argument("--friends", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(main(options.database, options.friends, options.calls, place))
