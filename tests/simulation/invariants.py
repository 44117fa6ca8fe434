"""What must hold once everything has healed.

The specification allows servers to differ in three things, and in no others. A server may keep an event out of its
timeline that another one shows: it soft-fails it, or rejects it by a state that it was told. What was said before a
server came is history that it fetches when somebody reads it. And a room may fall apart: where each side has soft-
failed what the other did (each knew first of a kick or of a leave that makes the other's acts void), no event follows
both, so nothing resolves the two. Then each side must agree within itself, and have heard all of the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from homeserver.ids import RoomID
from storage import backward_extremities
from storage import membership as membership_rows
from storage import rooms as room_rows
from storage.events import EventFlag
from storage.transaction import Transaction
from tests.simulation.actions import Chronicle
from tests.simulation.world import SimulatedServer, World

_SAID = "m.room.message"
_KEPT_OUT = EventFlag.REJECTED | EventFlag.SOFT_FAILED


class Archive(NamedTuple):
    """What one server has of a room."""

    flags: dict[str, int]
    """The flags of the events that have a place in the room."""
    before: dict[str, list[str]]
    """What each of them follows."""
    latest: list[str]
    unfetched: list[str]
    """What is known to have been before, and was not fetched."""


async def list_faults(world: World, chronicle: Chronicle) -> list[str]:
    """Everything that does not hold, in words."""
    faults: list[str] = []
    for room in chronicle.rooms:
        faults += await _faults_of_room(world, chronicle, room)
    faults += await _faults_of_devices(world)
    faults += _faults_of_messages(world, chronicle)
    return faults


async def _faults_of_room(world: World, chronicle: Chronicle, room: str) -> list[str]:
    inside: list[SimulatedServer] = []
    for server in world.servers:
        live = await server.room(room)
        if live is not None and live.local_joined:
            inside.append(server)
    if not inside:
        return []
    archives = {server.name: await _archive(server, room) for server in world.servers}
    faults = await _strangers(world, room, inside)
    parties = await _parties(inside, room)
    if len(parties) > 1:
        world.note(f"{room} has fallen apart: {parties}")
        faults += await _faults_of_hearing(parties, inside, room, archives)
    for party in parties:
        faults += await _faults_of_state([server for server in inside if server.name in party], room)
        others = set().union(*(each for each in parties if each is not party))
        theirs = _only_theirs(archives, others, party)
        faults += _faults_of_events(archives, sorted(party), theirs)
    for _, sender, event_id in [said for said in chronicle.said if said[0] == room]:
        home = sender.partition(":")[2]
        if event_id not in archives[home].flags:
            faults.append(f"{event_id} of {sender} was acknowledged and is not on its own server")
    for server in inside:
        live = await server.room(room)
        assert live is not None
        told = {
            key[1]: str(event.content.get("membership"))
            for key, event in live.state.items()
            if key[0] == "m.room.member"
        }
        kept = await server.homeserver.surroundings.database.read(_memberships, room)
        faults += [
            f"{server.name}: {user} is {kept.get(user)} in the table and {told.get(user)} in the state"
            for user in sorted(told.keys() | kept.keys())
            if told.get(user) != kept.get(user)
        ]
        numbers = await server.homeserver.surroundings.database.read(_numbers, room)
        faults += [f"{server.name}: {fault}" for fault in _faults_of_numbers(numbers)]
    return [f"{room}: {fault}" for fault in faults]


def _only_theirs(archives: Mapping[str, Archive], others: set[str], party: set[str]) -> set[str]:
    """The events that the other side of a room that fell apart has, and this side has not for itself."""
    theirs = {each for name in others for each in archives[name].flags}
    return theirs - {
        each for name in party for each, flags in archives[name].flags.items() if not flags & _KEPT_OUT
    }


def _is_elsewhere(name: str, party: set[str], parties: list[set[str]]) -> bool:
    return any(name in other for other in parties if other is not party)


async def _counted_in(server: SimulatedServer, room: str) -> set[str]:
    """The servers that a server tells what happens in the room."""
    live = await server.room(room)
    assert live is not None
    return set(live.joined_servers)


async def _parties(inside: list[SimulatedServer], room: str) -> list[set[str]]:
    """The servers in groups that count one another in."""
    counted = {server.name: await _counted_in(server, room) for server in inside}
    parties: list[set[str]] = []
    for name in sorted(counted):
        near = [
            party
            for party in parties
            if any(name in counted[other] and other in counted[name] for other in party)
        ]
        parties = [party for party in parties if party not in near] + [set().union({name}, *near)]
    return parties


async def _faults_of_hearing(
    parties: list[set[str]], inside: list[SimulatedServer], room: str, archives: Mapping[str, Archive]
) -> list[str]:
    """Where a server has not even heard what another tells it, and so cannot have judged it."""
    faults = []
    for server in inside:
        (party,) = [each for each in parties if server.name in each]
        for other in await _counted_in(server, room) - party:
            if other in archives and _is_elsewhere(other, party, parties):
                for event_id in archives[server.name].latest:
                    if not archives[other].flags.get(event_id, 0) & _KEPT_OUT:
                        faults.append(
                            f"{server.name} tells {event_id}, which {other} neither has nor keeps out"
                        )
    return faults


async def _faults_of_state(inside: Iterable[SimulatedServer], room: str) -> list[str]:
    """Where servers disagree about the room's current state."""
    states: dict[str, dict[tuple[str, str], str]] = {}
    for server in inside:
        live = await server.room(room)
        assert live is not None
        states[server.name] = {key: event.event_id for key, event in live.state.items()}
    (first, wanted), *others = states.items()
    return [
        f"{key} is {wanted.get(key)} on {first} and {state.get(key)} on {name}"
        for name, state in others
        for key in sorted(wanted.keys() | state.keys())
        if wanted.get(key) != state.get(key)
    ]


async def _strangers(world: World, room: str, inside: Iterable[SimulatedServer]) -> list[str]:
    """Users who are in the room on another server and not on their own."""
    faults = []
    for server in inside:
        live = await server.room(room)
        assert live is not None
        for user in sorted(live.joined):
            home = next(one for one in world.servers if one.name == user.partition(":")[2])
            own = await home.room(room)
            if own is None or not own.is_joined(user):
                faults.append(f"{user} is in it on {server.name} and not at home")
    return faults


def _faults_of_numbers(numbers: Sequence[tuple[str, str, int | None]]) -> list[str]:
    """A room's sequence numbers have no gap, and every message has one."""
    faults = [
        f"the message {event_id} has no number"
        for event_id, kind, seq in numbers
        if seq is None and kind == _SAID
    ]
    seqs = sorted(seq for _, _, seq in numbers if seq is not None)
    if seqs and seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        faults.append(f"the sequence numbers have gaps or repeat: {seqs}")
    return faults


def _faults_of_events(
    archives: Mapping[str, Archive], inside: Collection[str], theirs: Collection[str]
) -> list[str]:
    """Events that one server shows and another has not even to keep out."""
    before: dict[str, list[str]] = {}
    for archive in archives.values():
        before.update(archive.before)
    kept_out = {
        each for archive in archives.values() for each, flags in archive.flags.items() if flags & _KEPT_OUT
    }
    faults = []
    for name in inside:
        archive = archives[name]
        history = _with_all_before(archive.unfetched, before)
        followed = _with_all_before(archive.latest, before)
        for event_id in sorted(before.keys() - archive.flags.keys() - history - set(theirs)):
            # Nothing that this server has follows it: then an event may be missing that others keep out, or that
            # goes on from one that this server keeps out.
            own = {each for each, flags in archive.flags.items() if flags & _KEPT_OUT}
            if event_id in followed or not (
                event_id in kept_out or own & _with_all_before([event_id], before)
            ):
                has = [other for other, each in archives.items() if event_id in each.flags]
                faults.append(f"{event_id} is on {', '.join(has)} and not on {name}")
    return faults


def _with_all_before(event_ids: Iterable[str], before: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(event_ids)
    while waiting:
        event_id = waiting.pop()
        if event_id not in found:
            found.add(event_id)
            waiting.extend(before.get(event_id, ()))
    return found


async def _archive(server: SimulatedServer, room: str) -> Archive:
    return await server.homeserver.surroundings.database.read(_archive_of, room)


def _archive_of(txn: Transaction, room: str) -> Archive:
    number = txn.find_interned(room)
    head = None if number is None else room_rows.load_head(txn, number)
    if number is None or head is None:
        return Archive({}, {}, [], [])
    rows = txn.all("SELECT event_id, flags, json FROM events WHERE room = ? AND flags & 1 = 0", number)
    before = {str(event_id): _prev_events(bytes(json)) for event_id, _, json in rows}
    flags = {str(event_id): int(each) for event_id, each, _ in rows}
    return Archive(flags, before, list(head.extremities), [*backward_extremities.list_of_room(txn, number)])


def _prev_events(json: bytes) -> list[str]:
    prev_events: list[Any] = msgspec.json.decode(json)["prev_events"]
    return [each if isinstance(each, str) else each[0] for each in prev_events]


def _memberships(txn: Transaction, room: str) -> dict[str, str]:
    kinds = ("join", "invite", "ban", "leave", "knock")
    return {
        row.user_id: kind for kind in kinds for row in membership_rows.list_of_room(txn, RoomID(room), kind)
    }


async def _faults_of_devices(world: World) -> list[str]:
    """Where somebody believes in other devices than somebody has whom they share a room with."""
    truth: dict[str, Any] = {
        person.user_id: await person.asks_for_devices([person]) for person in world.people
    }
    faults = []
    for person in world.people:
        # What a client was told once and was not told to ask for again must still be so.
        await person.catches_up()
        known = dict(person.known_devices)
        asked = await person.asks_for_devices(
            [other for other in world.people if await _share(world, person, other)]
        )
        for user_id, devices in asked.items():
            wanted = truth[user_id].get(user_id)
            if devices != wanted:
                faults.append(f"{person.user_id} is told that {user_id} has {devices}, who has {wanted}")
            if user_id in known and known[user_id] != wanted:
                faults.append(f"{person.user_id} was not told that {user_id} has no longer {known[user_id]}")
    return faults


async def _share(world: World, one: Any, other: Any) -> bool:
    server = world.server_of(one)
    for room in world.rooms:
        live = await server.room(room)
        if live is not None and live.is_joined(one.user_id) and live.is_joined(other.user_id):
            return True
    return False


def _faults_of_messages(world: World, chronicle: Chronicle) -> list[str]:
    heard: dict[str, list[str]] = {}
    for person in world.people:
        for message in person.client.to_device:
            heard.setdefault(message["content"]["number"], []).append(person.user_id)
    faults = []
    for number, (sender, recipient, is_acknowledged) in chronicle.passed.items():
        times = heard.get(number, []).count(recipient.user_id)
        # A message whose server died before it could answer may have been passed, but not twice.
        if times > 1 or (is_acknowledged and times != 1):
            faults.append(f"message {number} of {sender.user_id} reached {recipient.user_id} {times} times")
    return faults


def _numbers(txn: Transaction, room: str) -> list[tuple[str, str, int | None]]:
    """(event ID, type, sequence number) of what the room shows; edits, which take no number, are not among it."""
    rows = txn.all(
        "SELECT e.event_id, n.value, e.seq, e.json FROM events e JOIN names n ON n.nid = e.type WHERE e.room = ?"
        " AND e.position IS NOT NULL AND e.flags & 7 = 0",
        txn.find_interned(room),
    )
    return [(str(each), str(kind), seq) for each, kind, seq, json in rows if b"m.replace" not in bytes(json)]
