"""nio clients with encryption talk, notice new devices and find their keys again; how they verify: `test_nio.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nio

from tests.harness.process import ServerProcess
from tests.interop.test_nio import ENCRYPTION, Person, live, meet

API = "/_matrix/client/v3"
BACKUP = "m.megolm_backup.v1.curve25519-aes-sha2"


async def private_room(alice: Person, bob: Person) -> str:
    room_id = await meet(alice, bob, initial_state=[ENCRYPTION])
    await alice.sees(lambda: alice.client.rooms[room_id].encrypted, "the encryption")
    await bob.sees(lambda: bob.client.rooms[room_id].encrypted, "the encryption")
    for person in (alice, bob):
        await person.syncs()
    return room_id


async def a_long_conversation(alice: Person, bob: Person) -> None:
    room_id = await private_room(alice, bob)
    for number in range(5):
        await alice.says(room_id, f"alice {number}")
        await bob.hears(room_id, alice, f"alice {number}")
        await bob.says(room_id, f"bob {number}")
        await alice.hears(room_id, bob, f"bob {number}")


async def what_was_said_while_away(alice: Person, bob: Person) -> None:
    """The keys wait for bob's device as long as he is away, and come before what they open."""
    room_id = await private_room(alice, bob)
    for number in range(30):
        await alice.says(room_id, f"away {number}")
    await bob.hears(room_id, alice, "away 29")
    bodies = [body for room, sender, body in bob.heard if sender == alice.client.user_id]
    assert bodies[-10:] == [f"away {number}" for number in range(20, 30)]


async def a_new_device_is_noticed(alice: Person, bob: Person) -> None:
    """Alice's client hears of bob's second device and encrypts for it too."""
    room_id = await private_room(alice, bob)
    await alice.says(room_id, "to one")
    await bob.hears(room_id, alice, "to one")
    tablet = Person(bob.client.homeserver, bob.name, Path(bob.client.store_path) / "tablet", encrypted=True)
    try:
        await tablet.logs_in(f"{bob.name} likes tea")
        await tablet.syncs()
        await alice.sees(
            lambda: any(
                device.device_id == tablet.client.device_id
                for device in alice.client.device_store.active_user_devices(bob.client.user_id)
            ),
            "bob's tablet",
        )
        await alice.says(room_id, "to both")
        await tablet.hears(room_id, alice, "to both")
        await bob.hears(room_id, alice, "to both")
    finally:
        await tablet.leaves_the_machine()


def ask(server: ServerProcess, person: Person, method: str, path: str, body: Any = None) -> Any:
    status, answer = server.request(method, f"{API}{path}", body, token=person.client.access_token)
    assert status == 200, answer
    return answer


def test_nio_talks_in_private(live_server: ServerProcess, tmp_path: Path) -> None:
    live(live_server, tmp_path, encrypted=True, story=a_long_conversation)


def test_nio_finds_its_keys_after_an_absence(live_server: ServerProcess, tmp_path: Path) -> None:
    live(live_server, tmp_path, encrypted=True, story=what_was_said_while_away)


def test_nio_notices_a_new_device(live_server: ServerProcess, tmp_path: Path) -> None:
    live(live_server, tmp_path, encrypted=True, story=a_new_device_is_noticed)


def test_nio_has_its_keys_again_from_a_backup(live_server: ServerProcess, tmp_path: Path) -> None:
    """nio seals its room keys with a passphrase; the server keeps what it cannot read."""

    async def back_up_and_restore(alice: Person, bob: Person) -> None:
        room_id = await private_room(alice, bob)
        await alice.says(room_id, "remember this")
        await bob.hears(room_id, alice, "remember this")
        sealed = tmp_path / "keys.txt"
        await bob.client.export_keys(str(sealed), "open sesame")
        made = await asyncio.to_thread(
            ask,
            live_server,
            bob,
            "POST",
            "/room_keys/version",
            {"algorithm": BACKUP, "auth_data": {"public_key": "k"}},
        )
        where = f"/room_keys/keys/{quote(room_id)}/export?version={made['version']}"
        key = {
            "first_message_index": 0,
            "forwarded_count": 0,
            "is_verified": True,
            "session_data": {"ciphertext": sealed.read_text()},
        }
        stored = await asyncio.to_thread(ask, live_server, bob, "PUT", where, key)
        assert stored["count"] == 1

        tablet = Person(bob.client.homeserver, bob.name, tmp_path / "tablet", encrypted=True)
        try:
            await tablet.logs_in(f"{bob.name} likes tea")
            await tablet.syncs()
            page = await tablet.client.room_messages(room_id, start="", limit=20)
            assert any(isinstance(event, nio.MegolmEvent) for event in page.chunk), "it can read without keys"
            current = await asyncio.to_thread(ask, live_server, tablet, "GET", "/room_keys/version")
            assert current["version"] == made["version"]
            found = await asyncio.to_thread(ask, live_server, tablet, "GET", where)
            restored = tmp_path / "restored.txt"
            restored.write_text(found["session_data"]["ciphertext"])
            await tablet.client.import_keys(str(restored), "open sesame")
            page = await tablet.client.room_messages(room_id, start="", limit=20)
            assert any(getattr(event, "body", None) == "remember this" for event in page.chunk)
        finally:
            await tablet.leaves_the_machine()

    live(live_server, tmp_path, encrypted=True, story=back_up_and_restore)
