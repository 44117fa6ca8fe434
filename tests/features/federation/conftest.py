"""Several whole servers on a network in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.app.federation import Outside
from homeserver.runtime.clock import Clock
from tests.fixtures.databases import EPOCH_S, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.network import Network
from tests.harness.server import Server
from tests.harness.user import User

MakeServer = Callable[..., Server]


@pytest.fixture
def network(reactor: VirtualReactor) -> Network:
    return Network(Clock(reactor, epoch_s=EPOCH_S))


@pytest.fixture
def make_peer(
    reactor: VirtualReactor, network: Network, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[MakeServer]:
    """Starts further servers of the same network."""
    servers: list[Server] = []

    def make(name: str, **settings: Any) -> Server:
        path = tmp_path / f"{name}.db"
        path.write_bytes(schema_image())
        settings.setdefault("trusted_key_servers", [])
        server = Server(
            reactor,
            SqliteEngine(str(path)),
            name=name,
            seed=f"{name} in {request.node.name}",
            **settings,
        )
        transport = network.way_out(name)
        server.outside = Outside(transport, transport)
        network.plug_in(name, server)
        servers.append(server)
        reactor.drive(server.starts())
        return server

    yield make
    network.heal()
    for server in servers:
        reactor.drive(server.stops())


@pytest.fixture
def one(make_peer: MakeServer) -> Server:
    return make_peer("one.test")


@pytest.fixture
def two(make_peer: MakeServer) -> Server:
    return make_peer("two.test")


@pytest.fixture
def alice(one: Server) -> User:
    """Somebody on the first server."""
    return one.drive(one.user("alice"))


@pytest.fixture
def bob(two: Server) -> User:
    """Somebody on the second server."""
    return two.drive(two.user("bob"))
