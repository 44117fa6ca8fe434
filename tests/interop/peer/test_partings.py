"""One server is down while the people of the other go on, then the other way round; then both are there again."""

from __future__ import annotations

from tests.harness.client import segment
from tests.harness.device_crypto import DeviceCrypto
from tests.interop.peer.people import Person
from tests.interop.peer.test_history import knows_all
from tests.interop.peer.test_rooms import VERSIONS, they_agree, they_meet_as_peers

HEALS_WITHIN_MS = 60_000


async def test_both_agree_after_a_parting(host: Person, guest: Person) -> None:
    rooms = [await they_meet_as_peers(host, guest, version) for version in VERSIONS]
    rebel = await guest.place.user("rebel")
    hall = await they_meet_as_peers(host, rebel, "11")
    await guest.joins(hall, via=[host.place.name])
    await host.sees(hall, member={guest: "join"})
    await guest.syncs()
    here, there = host.place.process, guest.place.process

    there.stop()
    for room in rooms:
        await goes_on(host, room, "host")
        await host.sets(room, "m.room.name", {"name": "the host's"})
    await host.bans(hall, rebel)
    await pings(host, guest, 3)
    keys = DeviceCrypto(host.user_id, host.device_id)
    await host.request("POST", "/keys/upload", {"device_keys": keys.device_keys()})

    here.stop()
    there.start()
    for room in rooms:
        await goes_on(guest, room, "guest")
        await guest.sets(room, "m.room.avatar", {"url": "mxc://localhost/guest"})
    # The rebel's server has not heard of the ban.
    await rebel.sets(hall, "m.room.name", {"name": "Mutiny"})

    here.start()
    for room in [*rooms, hall]:
        await host.says(room, "and now?")
        await guest.sees(room, "and now?", within_ms=HEALS_WITHIN_MS)
        await guest.says(room, "there you are")
        await host.sees(room, "there you are", within_ms=HEALS_WITHIN_MS)
    for room in [*rooms, hall]:
        await they_agree(room, host, guest)
    both = {f"{who} {number}" for who in ("host", "guest") for number in range(12)}
    for room in rooms:
        for person in (host, guest):
            await knows_all(person, room, both)
    await rebel.sees(hall, membership="leave", within_ms=HEALS_WITHIN_MS)
    assert (await host.state(hall, "m.room.name"))["name"] == "Tea"
    await has_heard(guest, host, 3)


async def goes_on(person: Person, room: str, who: str) -> None:
    for number in range(12):
        await person.says(room, f"{who} {number}")
    await person.sets(room, "m.room.topic", {"topic": f"the {who}'s"})


async def pings(person: Person, other: Person, count: int) -> None:
    for number in range(count):
        messages = {other.user_id: {other.device_id: {"number": number}}}
        path = f"/sendToDevice/org.example.ping/{segment(person.new_transaction_id())}"
        await person.request("PUT", path, {"messages": messages})


async def has_heard(person: Person, other: Person, count: int) -> None:
    """The messages to the device came once and in order, and the other's new device is known."""

    def numbers() -> list[int]:
        return [each["content"]["number"] for each in person.client.to_device]

    await person.waits_until(lambda _: len(numbers()) >= count, "the pings", within_ms=HEALS_WITHIN_MS)
    assert numbers() == list(range(count))

    async def known() -> list[str]:
        answer = await person.request("POST", "/keys/query", {"device_keys": {other.user_id: []}})
        return list(answer["device_keys"].get(other.user_id, {}))

    await person.waits_for(known, [other.device_id])
