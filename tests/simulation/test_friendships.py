"""Whatever people on two servers do: the projections are what a rebuild makes, and friendships hold on both sides."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from homeserver.app.federation import Outside
from homeserver.im.follower import Follower
from homeserver.runtime.clock import Clock
from storage import log
from storage.transaction import Transaction
from tests.fixtures.databases import EPOCH_S, Engine, PostgresServer, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.im_user import ImUser
from tests.harness.network import Network
from tests.harness.server import Server
from tests.simulation.friendships import PEOPLE, Deed, Society, deeds

PLAYS = int(os.environ.get("HEARTH_SIMULATED_PLAYS", "8"))
CHECKED_EVERY = 12
HEALS_WITHIN_S = 4 * 3600
TABLES = (
    "im_directs",
    "im_friend_requests",
    "im_rooms",
    "im_conversations",
    "im_moments",
    "im_moments_rooms",
)


Rows = dict[str, list[tuple[Any, ...]]]


def _rows(txn: Transaction) -> Rows:
    return {table: sorted(txn.all(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def _compare(txn: Transaction, follower: Follower) -> tuple[Rows, Rows] | None:
    """The rows as they are and as a rebuild makes them; None if something is not in them yet."""
    if log.last_position(txn) > follower.place:
        return None
    followed = _rows(txn)
    for projection in follower.projections:
        projection.read_again(txn, projection.rooms(txn))
    return followed, _rows(txn)


async def check_projections(server: Server) -> None:
    """The tables are what a rebuild makes of the room events and account data."""
    follower = server.homeserver.services.im.follower
    compared = None
    while compared is None:
        await follower.settled()
        compared = await server.homeserver.surroundings.database.run(_compare, follower)
    followed, rebuilt = compared
    for table in TABLES:
        assert followed[table] == rebuilt[table], f"{table} of {server.name}"


async def check_friendships(people: list[ImUser]) -> None:
    """Friendship holds on both sides; friends read one another's moments, and nobody else does."""
    friends = {person.user_id: set(await person.friends()) for person in people}
    for person in people:
        for other in people:
            if person is not other:
                told = f"{person} and {other}"
                assert (other.user_id in friends[person.user_id]) == (
                    person.user_id in friends[other.user_id]
                ), told
    for author in people:
        blocked = {each["user_id"] for each in (await author.call("GET", "/blocks"))["items"]}
        readers = {reader.user_id for reader in people if await reader.is_reading(author)}
        wanted = friends[author.user_id] - blocked
        assert readers - {author.user_id} == wanted, f"{author} is read by {readers}"


async def play(reactor: VirtualReactor, engines: list[Engine], script: list[Deed]) -> None:
    network = Network(Clock(reactor, epoch_s=EPOCH_S))
    servers = []
    for number, engine in enumerate(engines):
        name = ("one.test", "two.test")[number]
        server = Server(reactor, engine, name=name, seed=name, trusted_key_servers=[])
        transport = network.way_out(name)
        server.outside = Outside(transport, transport)
        network.plug_in(name, server)
        await server.starts()
        servers.append(server)
    people = [ImUser(await servers[number % 2].user(f"u{number}")) for number in range(PEOPLE)]
    for person in people:
        # Only who uses the IM API has moments that friends read.
        await person.call("POST", "/moments", {"text": "here I am", "visibility": "private"})
    society = Society(network, servers, people)
    for number, deed in enumerate(script, start=1):
        await society.does(deed)
        if number % CHECKED_EVERY == 0:
            await check_projections(servers[number // CHECKED_EVERY % 2])
    network.heal()
    await servers[0].passes(HEALS_WITHIN_S)
    for server in servers:
        await check_projections(server)
    await check_friendships(people)
    for server in servers:
        await server.stops()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_friendships_hold_and_rebuilding_changes_nothing(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def fresh(name: str) -> SqliteEngine:
        path = tmp_path / name
        for old in tmp_path.glob(f"{name}*"):
            old.unlink()
        path.write_bytes(schema_image())
        return SqliteEngine(str(path))

    def run(script: list[Deed]) -> None:
        reactor = VirtualReactor()
        if database == "sqlite":
            reactor.drive(play(reactor, [fresh("one.db"), fresh("two.db")], script))
            return
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        lent = postgres.lend()
        try:
            reactor.drive(play(reactor, [lent, fresh("two.db")], script))
        finally:
            postgres.take_back(lent)

    @settings(
        max_examples=PLAYS if database == "sqlite" else max(1, PLAYS // 4),
        deadline=None,
        database=None,
        # The same plays every time, unless somebody asks for more of them.
        derandomize="HEARTH_SIMULATED_PLAYS" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(deeds)
    def all_plays_end_well(script: list[Deed]) -> None:
        run(script)

    all_plays_end_well()
