"""A server with people, rooms and history, which can be put back to how it was."""

from __future__ import annotations

import contextlib
from pathlib import Path

from storage.sqlite import SqliteConnection
from tests.conformance.validator import Nonconforming
from tests.fixtures.databases import Engine, PostgresEngine, PostgresServer, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.fuzz.requests import FuzzedRequest
from tests.fuzz.values import Values
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.watch import Watch

STRANGER, IMPOSTOR = "a stranger", "an impostor"


class SqliteSites:
    """Databases in one file; what `remember` has seen is what `fresh` gives."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "world.db"
        self._image = schema_image()
        self.is_populated = False

    def fresh(self) -> Engine:
        """The database as it was remembered."""
        for old in self._path.parent.glob(f"{self._path.name}*"):
            old.unlink()
        self._path.write_bytes(self._image)
        return SqliteEngine(str(self._path))

    def remember(self) -> None:
        """Keep what the (closed) database has become."""
        connection = SqliteConnection(str(self._path))
        self._image = connection.image()
        connection.close()
        self.is_populated = True


class PostgresSites:
    """Databases of a server that the tests share; each is populated anew."""

    is_populated = False

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._lent: PostgresEngine | None = None

    def fresh(self) -> Engine:
        """An empty database in place of the last one."""
        if self._lent is not None:
            self._server.take_back(self._lent)
        self._lent = self._server.lend()
        return self._lent

    def remember(self) -> None:
        """Nothing is remembered: PostgreSQL copies databases more slowly than people fill them."""


class World:
    """The server and those who speak to it, by name."""

    def __init__(self, sites: SqliteSites | PostgresSites) -> None:
        self._sites = sites
        self._incarnation = 0
        self.values = Values()
        self._tokens: dict[str, str] = {}
        self.reactor = VirtualReactor()
        self._open()
        self._close()
        sites.remember()
        self._open()

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who may ask: alice, who has seen the most, first."""
        return (*self._tokens, STRANGER, IMPOSTOR)

    def ask(self, request: FuzzedRequest) -> int:
        """Send a request; every answer is judged on its way. Its status."""
        client = self._clients.get(request.who) or self.server.client(
            "no such token" if request.who == IMPOSTOR else self._tokens.get(request.who)
        )
        self._clients[request.who] = client
        headers = {"Content-Type": request.content_type} if request.content_type else {}
        answer = self.reactor.drive(
            client.ask(request.method, request.target, raw=request.body, headers=headers)
        )
        if answer.status == 401 and request.who in self._tokens:
            # Somebody has been logged out, perhaps by this very request.
            self.restore()
        return answer.status

    def restore(self) -> None:
        """Put everything back."""
        self._close()
        self._open()

    def close(self) -> None:
        self._close()

    def _open(self) -> None:
        self._incarnation += 1
        self.server = Server(self.reactor, self._sites.fresh(), seed=self._incarnation)
        self.server.watch = Watch(is_recorded=False)
        self._clients: dict[str, Client] = {}
        self.reactor.drive(self.server.starts())
        if not self._sites.is_populated:
            self.values.known.clear()
            self._tokens.clear()
            self.reactor.drive(self._populate())

    def _close(self) -> None:
        # Whoever asked has been told of every fault: a fault must not stand in the way of the next question.
        with contextlib.suppress(Nonconforming):
            self.reactor.drive(self.server.stops())

    async def _populate(self) -> None:
        server, values = self.server, self.values
        alice, bob, carol = await server.users("alice", "bob", "carol")
        admin = await server.admin()
        for user in (alice, bob, carol, admin):
            self._tokens[user.user_id.partition(":")[0][1:]] = user.access_token or ""
            values.add("user", user.user_id)
            values.add("device", user.device_id)
        private = await alice.creates_room(inviting=[bob, carol], name="Tea")
        public = await bob.creates_room(public=True, room_alias_name="cakes", version="10")
        ended = await alice.creates_room(inviting=bob, version="1")
        values.add("room", private, public, ended)
        values.add("alias", f"#cakes:{server.name}")
        await bob.joins(private)
        await alice.joins(public)
        await alice.leaves(ended)
        first = await alice.says(private, "hello")
        edit = {"rel_type": "m.replace", "event_id": first}
        new_content = {"msgtype": "m.text", "body": "hello there"}
        values.add(
            "event",
            first,
            await alice.says(
                private, "* hello there", **{"m.relates_to": edit, "m.new_content": new_content}
            ),
            await bob.says(
                private, "in a thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": first}}
            ),
            await bob.sets(public, "m.room.topic", {"topic": "cakes"}),
            await alice.says(public, "for the record"),
        )
        await bob.redacts(public, values.of("event")[3])
        await bob.reads(private, first)
        await alice.keeps("m.direct", {bob.user_id: [private]})
        created = await alice.request(
            "POST", f"/user/{alice.user_id}/filter", {"room": {"timeline": {"limit": 2}}}
        )
        values.add("filter", created["filter_id"])
        synced = await alice.syncs()
        values.add("token", synced["next_batch"])
        page = await alice.messages(private, limit=2)
        values.add("token", page["start"], page["end"])
        await self._start_authentication(alice)

    async def _start_authentication(self, alice: Client) -> None:
        answer = await alice.ask("POST", "/delete_devices", {"devices": ["X"]})
        if answer.status == 401:
            self.values.add("session", answer.json["session"])
