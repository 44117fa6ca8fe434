"""What must hold once everything has healed."""

from __future__ import annotations

from collections.abc import Iterator

from homeserver.ids import RoomID
from storage import events as event_rows
from storage import membership as membership_rows
from storage import rooms as room_rows
from storage.events import EventFlag
from storage.transaction import Transaction
from tests.simulation.actions import Chronicle
from tests.simulation.world import SimulatedServer, World


async def list_faults(world: World, chronicle: Chronicle) -> list[str]:
    """Everything that does not hold, in words."""
    faults: list[str] = []
    for room in chronicle.rooms:
        faults += [fault async for fault in _faults_of_room(world, chronicle, room)]
    faults += [fault async for fault in _faults_of_messages(world, chronicle)]
    return faults


async def _inside(world: World, room: str) -> list[SimulatedServer]:
    found = []
    for server in world.servers:
        live = await server.room(room)
        if live is not None and live.local_joined:
            found.append(server)
    return found


async def _faults_of_room(world: World, chronicle: Chronicle, room: str):  # type: ignore[no-untyped-def]  # an async generator of str
    servers = await _inside(world, room)
    if not servers:
        return
    first, *others = servers
    reference = await first.room(room)
    assert reference is not None
    wanted = {key: event.event_id for key, event in reference.state.items()}
    for server in others:
        live = await server.room(room)
        assert live is not None
        state = {key: event.event_id for key, event in live.state.items()}
        for key in sorted(wanted.keys() | state.keys()):
            if wanted.get(key) != state.get(key):
                yield f"{room}: {key} is {wanted.get(key)} on {first.name} and {state.get(key)} on {server.name}"
    for fault in await _strangers(world, room, servers):
        yield fault
    stored = {server.name: await _stored(server, room) for server in servers}
    shown_somewhere_not = {
        event_id
        for events in stored.values()
        for event_id, flags in events.items()
        if flags & (EventFlag.SOFT_FAILED | EventFlag.REJECTED)
    }
    for said_in, sender, event_id in chronicle.said:
        home = sender.partition(":")[2]
        if said_in != room or event_id in shown_somewhere_not or home not in stored:
            continue
        if event_id not in stored[home]:
            yield f"{room}: {event_id} of {sender} was acknowledged and is not on its own server"
        for server in servers:
            if event_id not in stored[server.name] and not await _is_older(server, room):
                yield f"{room}: {event_id} of {sender} is not on {server.name}"
    for server in servers:
        for fault in await server.homeserver.surroundings.database.read(
            _membership_faults, room, server.name
        ):
            yield f"{room}: {fault}"


async def _strangers(world: World, room: str, inside: list[SimulatedServer]) -> list[str]:
    """Users who are in the room on another server and not on their own."""
    faults = []
    for server in inside:
        live = await server.room(room)
        assert live is not None
        for user in live.joined:
            home = next(one for one in world.servers if one.name == user.partition(":")[2])
            own = await home.room(room)
            if own is None or not own.is_joined(user):
                faults.append(f"{room}: {user} is in it on {server.name} and not at home")
    return faults


async def _is_older(server: SimulatedServer, room: str) -> bool:
    """Whether the server has history still to fetch: what is missing may be there."""
    live = await server.room(room)
    return live is not None and live.has_gap


async def _stored(server: SimulatedServer, room: str) -> dict[str, int]:
    return await server.homeserver.surroundings.database.read(_events_of, room)


def _events_of(txn: Transaction, room: str) -> dict[str, int]:
    number = txn.find_interned(room)
    rows = txn.all("SELECT event_id, flags FROM events WHERE room = ? AND flags & 1 = 0", number)
    return {str(event_id): int(flags) for event_id, flags in rows}


def _membership_faults(txn: Transaction, room: str, server: str) -> list[str]:
    """Where the table of memberships is not what the current state says."""
    head = room_rows.load_head(txn, room_rows.number_of(txn, room))
    if head is None:
        return [f"{server} has lost the room"]
    faults = []
    for membership in ("join", "invite", "ban", "leave", "knock"):
        for row in membership_rows.list_of_room(txn, RoomID(room), membership):
            event = event_rows.by_number(txn, [row.event]).get(row.event)
            if event is None:
                faults.append(f"{server}: the event of {row.user_id} is gone")
    return faults


async def _faults_of_messages(world: World, chronicle: Chronicle):  # type: ignore[no-untyped-def]  # as above
    heard: dict[str, list[str]] = {}
    for person in world.people:
        for _ in range(20):
            answer = await person.syncs()
            if not answer.get("to_device", {}).get("events"):
                break
        for message in person.client.to_device:
            heard.setdefault(message["content"]["number"], []).append(person.user_id)
    for number, (sender, recipient) in chronicle.passed.items():
        times = heard.get(number, []).count(recipient.user_id)
        if times != 1:
            yield f"message {number} of {sender.user_id} reached {recipient.user_id} {times} times"


def lines(faults: list[str]) -> Iterator[str]:
    yield from faults
