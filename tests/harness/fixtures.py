"""What tests of whole servers are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.databases import Engine, PostgresServer, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.process import ServerProcess
from tests.harness.server import Server
from tests.harness.user import User

ServerFactory = Callable[..., Server]


@pytest.fixture
def make_server(
    reactor: VirtualReactor, engine: Engine, request: pytest.FixtureRequest
) -> Iterator[ServerFactory]:
    """Starts a server with settings of the test's own: once, since it has one database."""
    servers: list[Server] = []

    def make(**settings: Any) -> Server:
        assert not servers, "one database serves one server"
        server = Server(reactor, engine, seed=request.node.name, **settings)
        servers.append(server)
        reactor.drive(server.starts())
        return server

    yield make
    for server in servers:
        reactor.drive(server.stops())


@pytest.fixture
def server(make_server: ServerFactory) -> Server:
    """A server as everybody likes it, on SQLite and on PostgreSQL."""
    return make_server()


@pytest.fixture
def alice(server: Server) -> User:
    return server.drive(server.user("alice"))


@pytest.fixture
def bob(server: Server) -> User:
    return server.drive(server.user("bob"))


@pytest.fixture
def carol(server: Server) -> User:
    return server.drive(server.user("carol"))


@pytest.fixture
def quick_server(reactor: VirtualReactor, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server on SQLite only, for tests that make very many requests."""
    path = tmp_path / "quick.db"
    path.write_bytes(schema_image())
    server = Server(reactor, SqliteEngine(str(path)), seed=request.node.name)
    reactor.drive(server.starts())
    yield server
    reactor.drive(server.stops())


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server process on SQLite, shared by the tests of a module."""
    process = ServerProcess(tmp_path_factory.mktemp("live"))
    process.start()
    yield process
    process.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server process of the test's own that is not started yet."""
    if request.param == "sqlite":
        server = ServerProcess(tmp_path)
        yield server
        server.kill()
        return
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    engine = postgres.create_empty()
    server = ServerProcess(tmp_path, database={"name": "psycopg2", "args": {"dsn": engine.dsn}})
    yield server
    server.kill()
