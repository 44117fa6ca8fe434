"""A server, and a gateway that it can reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.gateway import PushGateway
from tests.harness.server import Server
from tests.unit.http.outside import Outside


@pytest.fixture
def gateway() -> PushGateway:
    return PushGateway()


@pytest.fixture
def outside(reactor: VirtualReactor) -> Outside:
    return Outside(reactor)


@pytest.fixture
def server(
    reactor: VirtualReactor,
    engine: Engine,
    gateway: PushGateway,
    outside: Outside,
    request: pytest.FixtureRequest,
) -> Iterator[Server]:
    server = Server(reactor, engine, seed=request.node.name)
    server.network = outside
    gateway.listens(server.clock, outside)
    reactor.drive(server.starts())
    yield server
    reactor.drive(server.stops())
