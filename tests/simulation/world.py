"""Several whole servers, their users, and the weather between them, all from one seed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from federation.outbound.transport import RemoteRequest
from homeserver.app.federation import Outside
from homeserver.ids import ServerName
from homeserver.rooms.live_room import LiveRoom
from homeserver.runtime.clock import Clock
from tests.fixtures.databases import EPOCH_S, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.network import LATENCY_S, Network
from tests.harness.refusals import Refused
from tests.harness.server import Server
from tests.simulation.life import Life, MortalTransport
from tests.simulation.people import Person

_MEMORY = next((path for path in ("/dev/shm",) if os.access(path, os.W_OK)), None)
"""Where files need no disk: processes die here, machines do not."""

LOST = (ConnectionLost, ConnectionDone, ConnectionRefusedError)
"""How a client learns that its server has died."""


class SimulatedServer(Server):
    """A server that can die."""

    def __init__(
        self, reactor: VirtualReactor, engine: SqliteEngine, network: Network, **options: Any
    ) -> None:
        super().__init__(reactor, engine, trusted_key_servers=[], omit_members_from=0, **options)
        self._network_around = network
        self._life = Life(reactor)
        self.is_up = False
        self.people: list[Person] = []

    async def starts(self) -> None:
        self._life = Life(self.reactor)
        self.clock = Clock(self._life, epoch_s=EPOCH_S)
        transport = MortalTransport(self._network_around.way_out(self.name), self._life)
        self.outside = Outside(transport, transport)
        await super().starts()
        self._network_around.plug_in(self.name, self)
        self.is_up = True

    def dies(self) -> None:
        """Lose everything that is not on the disk."""
        self.is_up = False
        self._network_around.unplug(self.name)
        self._life.end()
        for person in self.people:
            for device in (person, *person.others):
                device.hang_up()
        self._homeserver = self._http = None

    async def stops(self) -> None:
        self._network_around.unplug(self.name)
        self.is_up = False
        await super().stops()

    async def room(self, room_id: str) -> LiveRoom | None:
        return await self.homeserver.services.rooms.rooms.find_or_load(room_id)  # type: ignore[arg-type]  # a room ID is text


class World:
    """Everything that a seed decides."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.reactor = VirtualReactor()
        self.clock = Clock(self.reactor, epoch_s=EPOCH_S)
        self.network = Network(self.clock)
        self.servers: list[SimulatedServer] = []
        self.people: list[Person] = []
        self.rooms: list[str] = []
        self.trace: list[str] = []
        self.loss = 0.0
        self.slowness_s = 0.0
        self._directory = Path(tempfile.mkdtemp(prefix="hearth-simulation-", dir=_MEMORY))

    def note(self, what: str) -> None:
        """Remember what happens, for whoever has to understand it."""
        self.trace.append(f"{self.reactor.seconds():9.3f}  {what}")

    async def begins(self, servers: int, people: int) -> None:
        """Start the servers, and have people on each."""
        self.network.fault = self._weather
        for number in range(servers):
            name = f"s{number}.test"
            path = self._directory / f"{name}.db"
            path.write_bytes(schema_image())
            server = SimulatedServer(
                self.reactor, SqliteEngine(str(path)), self.network, name=name, seed=f"{name} {self.seed}"
            )
            self.servers.append(server)
            await server.starts()
            for place in range(people):
                person = await server.user(f"u{place}", as_=Person)
                await person.settles_in()
                server.people.append(person)
                self.people.append(person)

    async def ends(self) -> None:
        for server in self.servers:
            if server.is_up:
                await server.stops()

    def cleans_up(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def server_of(self, person: Person) -> SimulatedServer:
        domain = person.user_id.partition(":")[2]
        return next(server for server in self.servers if server.name == domain)

    def heals(self) -> None:
        """The weather is fine from now on."""
        self.loss = self.slowness_s = 0.0
        self.network.heal()

    def _weather(self, _origin: ServerName, _request: RemoteRequest) -> float:
        if self.random.random() < self.loss:
            return -1.0
        return LATENCY_S + self.random.random() * self.slowness_s


__all__ = ["LOST", "Refused", "SimulatedServer", "World"]
