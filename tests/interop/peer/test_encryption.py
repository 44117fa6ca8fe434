"""matrix-nio with encryption on both ends: somebody on Hearth and somebody on Synapse talk in private."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.configuration import PASSWORD
from tests.interop.peer.people import Place
from tests.interop.test_nio import ENCRYPTION, Person, meet


@pytest.mark.parametrize("hosting", ["hearth", "synapse"])
async def test_they_talk_in_private(hearth: Place, synapse: Place, hosting: str, tmp_path: Path) -> None:
    places = (hearth, synapse) if hosting == "hearth" else (synapse, hearth)
    alice, bob = [
        Person(
            place.process.base_url, f"nio{place.process.new_number()}", tmp_path / place.name, encrypted=True
        )
        for place in places
    ]
    tablet = Person(bob.client.homeserver, bob.name, tmp_path / "tablet", encrypted=True)
    try:
        for person in (alice, bob):
            await person.registers(PASSWORD)
            await person.syncs()
        room_id = await meet(alice, bob, initial_state=[ENCRYPTION])
        for person in (alice, bob):
            await person.sees_encryption(room_id)
        for number in range(3):
            await alice.says(room_id, f"alice {number}")
            await bob.hears(room_id, alice, f"alice {number}")
            await bob.says(room_id, f"bob {number}")
            await alice.hears(room_id, bob, f"bob {number}")

        # A second device of bob's is noticed, and can read what is said from then on.
        await tablet.logs_in(PASSWORD)
        await tablet.syncs()
        await alice.sees(lambda: knows(alice, bob, str(tablet.client.device_id)), "bob's tablet")
        await alice.says(room_id, "to both")
        await tablet.hears(room_id, alice, "to both")
        await bob.hears(room_id, alice, "to both")

        # Keys wait for a device that is away.
        for number in range(10):
            await alice.says(room_id, f"away {number}")
        await bob.hears(room_id, alice, "away 9")
    finally:
        for person in (alice, bob, tablet):
            await person.leaves_the_machine()


def knows(person: Person, other: Person, device_id: str) -> bool:
    """Whether the person's client has found a device of the other's."""
    devices = person.client.device_store.active_user_devices(other.client.user_id)
    return device_id in {device.device_id for device in devices}
