"""A server with a bridge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.bridge import Bridge
from tests.harness.server import Server
from tests.unit.http.outside import Outside


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def slow_bridge() -> Bridge:
    """Another bridge, on a machine that accepts no connection."""
    return Bridge("slow")


@pytest.fixture
def server(
    reactor: VirtualReactor,
    engine: Engine,
    bridge: Bridge,
    slow_bridge: Bridge,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Server]:
    files = [
        bridge.registers(
            tmp_path, **{"protocols": ["irc"], "receive_ephemeral": True, "org.matrix.msc3202": True}
        ),
        slow_bridge.registers(tmp_path),
    ]
    server = Server(reactor, engine, seed=request.node.name, app_service_config_files=files)
    outside = Outside(reactor)
    bridge.listens(server, outside)
    slow_bridge.listens(server, outside, address="10.0.0.66")
    outside.silent.add("10.0.0.66")
    reactor.drive(server.starts())
    yield server
    reactor.drive(server.stops())
