"""What people do in a simulated world, and what happens to their servers; all at random, and at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from tests.simulation.people import Person, publish_keys
from tests.simulation.world import LOST, Refused, World

VERSIONS = ("6", "10", "11", "12")


@dataclass(slots=True)
class Chronicle:
    """What was promised: events and messages that a server has acknowledged."""

    rooms: dict[str, str] = field(default_factory=dict)
    """Rooms and their versions."""
    said: list[tuple[str, str, str]] = field(default_factory=list)
    """(room, sender, event) of each acknowledged message."""
    passed: dict[str, tuple[Person, Person, bool]] = field(default_factory=dict)
    """To-device messages: from whom, to whom, and whether a server has acknowledged them."""


class Schedule:
    """Begins one thing after the other, without waiting for any to end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chronicle = Chronicle()
        self._under_way: list[Deferred[None]] = []
        self._count = 0

    async def opens_rooms(self, number: int) -> None:
        """Make the rooms; one in three is for the members of the first."""
        random = self.world.random
        rooms = self.chronicle.rooms
        for place in range(number):
            founder = random.choice(self.world.people)
            version = random.choice(VERSIONS if place % 3 != 1 else ("10", "11", "12"))
            others = [one.user_id for one in self.world.people if one is not founder]
            deputy = random.choice(others)
            levels = {deputy: 50} if version == "12" else {deputy: 50, founder.user_id: 100}
            options: dict[str, Any] = {"power_level_content_override": {"users": levels}}
            if place % 3 == 1:
                allow = [{"type": "m.room_membership", "room_id": next(iter(rooms))}]
                rule = {"join_rule": "restricted", "allow": allow}
                options["initial_state"] = [{"type": "m.room.join_rules", "state_key": "", "content": rule}]
            room = await founder.creates_room(public=place % 3 != 1, version=version, **options)
            rooms[room] = version
            self.world.rooms.append(room)
            for other in self.world.people:
                if place % 3 != 1 and other is not founder and random.random() < 0.7:
                    await other.joins(room, via=[self.world.server_of(founder).name])
            self.world.note(f"{founder.user_id} makes {room} ({version}); {deputy} is deputy")

    async def plays(self, steps: int) -> None:
        """Let that many things begin."""
        world = self.world
        for _ in range(steps):
            await world.clock.sleep(world.random.random() * 4)
            self._begin(*self._choose())
        await world.clock.sleep(120)

    def _choose(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        random = self.world.random
        person = random.choice(self.world.people)
        room = random.choice(list(self.chronicle.rooms))
        other = random.choice(self.world.people)
        via = [server.name for server in self.world.servers]
        self._count += 1
        number = self._count

        async def says() -> None:
            event = await person.says(room, f"{number} of {person.user_id}")
            self.chronicle.said.append((room, person.user_id, event))

        async def passes() -> None:
            content = {other.user_id: {"*": {"number": str(number)}}}
            path = f"/sendToDevice/im.hearth.test/n{number}"
            self.chronicle.passed[str(number)] = (person, other, False)
            await person.request("PUT", path, {"messages": content})
            self.chronicle.passed[str(number)] = (person, other, True)

        async def changes_levels() -> None:
            content = await person.state(room, "m.room.power_levels")
            users = dict(content.get("users", {}))
            users[other.user_id] = random.choice((0, 25, 50))
            await person.sets(room, "m.room.power_levels", {**content, "users": users})

        async def gets_device() -> None:
            device = await self.world.server_of(person).logs_in(person)
            person.others.append(device)
            await publish_keys(device)

        async def loses_device() -> None:
            if person.others:
                await person.others.pop(random.randrange(len(person.others))).logs_out()

        choices: list[tuple[int, str, Callable[[], Awaitable[object]]]] = [
            (30, f"says {number} in {room}", says),
            (20, f"joins {room}", lambda: person.joins(room, via=via)),
            (6, f"leaves {room}", lambda: person.leaves(room)),
            (5, f"kicks {other.user_id} from {room}", lambda: person.kicks(room, other)),
            (3, f"bans {other.user_id} from {room}", lambda: person.bans(room, other)),
            (3, f"unbans {other.user_id} from {room}", lambda: person.unbans(room, other)),
            (5, f"invites {other.user_id} to {room}", lambda: person.invites(room, other)),
            (
                8,
                f"sets topic {number} of {room}",
                lambda: person.sets(room, "m.room.topic", {"topic": str(number)}),
            ),
            (6, f"changes levels in {room}", changes_levels),
            (6, f"passes {number} to {other.user_id}", passes),
            (4, "gets a device", gets_device),
            (3, "loses a device", loses_device),
            (4, "asks for devices", lambda: person.asks_for_devices(self.world.people)),
            (6, "syncs", person.syncs),
            (4, "weather", self._changes_weather),
            (3, "cut", self._cuts),
            (2, "crash", self._crashes),
        ]
        weights = [weight for weight, _, _ in choices]
        _, what, act = random.choices(choices, weights)[0]
        if what in ("weather", "cut", "crash"):
            return what, act  # type: ignore[return-value]  # what they give is nobody's business
        return f"{person.user_id} {what}", lambda: self._by(person, act)

    async def _by(self, person: Person, act: Callable[[], Awaitable[object]]) -> None:
        if self.world.server_of(person).is_up:
            await act()

    def _begin(self, what: str, act: Callable[[], Awaitable[None]]) -> None:
        async def attempt() -> None:
            try:
                await act()
            except Refused as refusal:
                self.world.note(f"{what}: {refusal.body.get('errcode')} {refusal.body.get('error')}")
            except LOST:
                self.world.note(f"{what}: the server died")
            else:
                self.world.note(what)

        self._under_way.append(Deferred.fromCoroutine(attempt()))

    # What happens to servers.

    async def _changes_weather(self) -> None:
        random = self.world.random
        self.world.loss = random.choice((0.0, 0.0, 0.1, 0.4))
        self.world.slowness_s = random.choice((0.0, 0.5, 3.0))

    async def _cuts(self) -> None:
        random = self.world.random
        one, other = random.sample([server.name for server in self.world.servers], 2)
        self.world.network.cut(one, other)
        self.world.note(f"{one} and {other} are cut")
        await self.world.clock.sleep(random.random() * 90)
        self.world.network.mend(one, other)
        self.world.note(f"{one} and {other} are joined")

    async def _crashes(self) -> None:
        random = self.world.random
        server = random.choice(self.world.servers)
        if not server.is_up:
            return
        server.dies()
        self.world.note(f"{server.name} dies")
        await self.world.clock.sleep(1 + random.random() * 30)
        await server.starts()
        self.world.note(f"{server.name} is back")

    async def settles(self) -> None:
        """Fine weather, everybody up, and somebody speaks on every server until all have heard."""
        world = self.world
        world.heals()
        await world.clock.sleep(200)
        for server in world.servers:
            if not server.is_up:
                await server.starts()
        world.note("everything is healed")
        await world.clock.sleep(7200)
        for _ in range(3):
            for room in self.chronicle.rooms:
                for server in world.servers:
                    live = await server.room(room)
                    speaker = next(
                        (one for one in server.people if live is not None and live.is_joined(one.user_id)),
                        None,
                    )
                    if speaker is not None:
                        self._begin(f"{speaker.user_id} speaks at last in {room}", _saying(speaker, room))
                        await world.clock.sleep(5)
            await world.clock.sleep(600)


def _saying(speaker: Person, room: str) -> Callable[[], Awaitable[None]]:
    async def says() -> None:
        await speaker.says(room, "at last")

    return says
