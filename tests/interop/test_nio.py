"""matrix-nio, a stock client, lives on a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nio
import pytest

from tests.harness.process import ServerProcess

PATIENCE_S = 20.0
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


class Person:
    """A nio client that writes down what it hears."""

    def __init__(self, base_url: str, name: str, store: Path, *, encrypted: bool = False) -> None:
        config = nio.AsyncClientConfig(encryption_enabled=encrypted, store_sync_tokens=False)
        store.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.client = nio.AsyncClient(base_url, name, store_path=str(store), config=config)
        self.heard: list[tuple[str, str, str]] = []
        self.ephemeral: list[Any] = []
        self.to_device: list[Any] = []
        self.client.add_event_callback(self._hear, nio.RoomMessageText)
        self.client.add_ephemeral_callback(self._notice, nio.EphemeralEvent)
        self.client.add_to_device_callback(self._receive, nio.ToDeviceEvent)

    async def _hear(self, room: nio.MatrixRoom, event: Any) -> None:
        self.heard.append((room.room_id, event.sender, event.body))

    async def _notice(self, room: nio.MatrixRoom, event: Any) -> None:
        self.ephemeral.append(event)

    async def _receive(self, event: Any) -> None:
        self.to_device.append(event)

    async def registers(self, password: str) -> None:
        answer = await self.client.register(self.name, password)
        assert isinstance(answer, nio.RegisterResponse), answer

    async def logs_in(self, password: str) -> None:
        answer = await self.client.login(password)
        assert isinstance(answer, nio.LoginResponse), answer

    async def syncs(self, timeout_ms: int = 0) -> None:
        """What `sync_forever` does in one turn, keys included."""
        if self.client.olm:
            await self.client.send_to_device_messages()
        answer = await self.client.sync(timeout_ms)
        assert isinstance(answer, nio.SyncResponse), answer
        await self.client.run_response_callbacks([answer])
        if self.client.olm:
            if self.client.should_upload_keys:
                await self.client.keys_upload()
            if self.client.should_query_keys:
                await self.client.keys_query()
            if self.client.should_claim_keys:
                await self.client.keys_claim(self.client.get_users_for_key_claiming())

    async def sees(self, holds: Callable[[], object], what: str) -> None:
        """Sync until it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await self.syncs(500)
        assert holds(), f"{self.name} did not see {what}"

    async def hears(self, room_id: str, sender: Person, body: str) -> None:
        await self.sees(
            lambda: (room_id, sender.client.user_id, body) in self.heard, f"{body!r} in {room_id}"
        )

    async def sees_encryption(self, room_id: str) -> None:
        await self.sees(lambda: self.client.rooms[room_id].encrypted, "the encryption")

    async def says(self, room_id: str, body: str) -> str:
        content = {"msgtype": "m.text", "body": body}
        answer = await self.client.room_send(
            room_id, "m.room.message", content, ignore_unverified_devices=True
        )
        assert isinstance(answer, nio.RoomSendResponse), answer
        return str(answer.event_id)

    async def leaves_the_machine(self) -> None:
        await self.client.close()


def live(
    server: ServerProcess, store: Path, *, encrypted: bool, story: Callable[..., Awaitable[None]]
) -> None:
    """Run a story of two people in asyncio, which nio needs."""

    async def run() -> None:
        alice = Person(server.base_url, f"alice{server.new_number()}", store / "alice", encrypted=encrypted)
        bob = Person(server.base_url, f"bob{server.new_number()}", store / "bob", encrypted=encrypted)
        try:
            for person in (alice, bob):
                await person.registers(f"{person.name} likes tea")
                await person.syncs()
            await story(alice, bob)
        finally:
            await alice.leaves_the_machine()
            await bob.leaves_the_machine()

    asyncio.run(run())


async def meet(alice: Person, bob: Person, **options: Any) -> str:
    created = await alice.client.room_create(name="Tea", invite=[bob.client.user_id], **options)
    assert isinstance(created, nio.RoomCreateResponse), created
    room_id = str(created.room_id)
    await bob.sees(lambda: room_id in bob.client.invited_rooms, "the invitation")
    assert bob.client.invited_rooms[room_id].display_name == "Tea"
    joined = await bob.client.join(room_id)
    assert isinstance(joined, nio.JoinResponse), joined
    await bob.sees(lambda: room_id in bob.client.rooms, "the room")
    await alice.sees(
        lambda: room_id in alice.client.rooms and bob.client.user_id in alice.client.rooms[room_id].users,
        "bob joining",
    )
    return room_id


async def talk(alice: Person, bob: Person) -> None:
    room_id = await meet(alice, bob)
    event_id = await alice.says(room_id, "hello")
    await bob.hears(room_id, alice, "hello")
    await bob.says(room_id, "hello yourself")
    await alice.hears(room_id, bob, "hello yourself")

    await bob.client.room_typing(room_id, typing_state=True, timeout=20_000)
    await alice.sees(lambda: bob.client.user_id in alice.client.rooms[room_id].typing_users, "bob typing")
    await bob.client.room_read_markers(room_id, event_id, event_id)
    await alice.sees(
        lambda: any(
            receipt.event_id == event_id and receipt.user_id == bob.client.user_id
            for event in alice.ephemeral
            if isinstance(event, nio.ReceiptEvent)
            for receipt in event.receipts
        ),
        "that bob has read it",
    )

    redacted = await alice.client.room_redact(room_id, event_id, reason="second thoughts")
    assert isinstance(redacted, nio.RoomRedactResponse), redacted
    event = await bob.client.room_get_event(room_id, event_id)
    assert isinstance(event, nio.RoomGetEventResponse), event
    assert isinstance(event.event, nio.RedactedEvent), event.event

    messages = await bob.client.room_messages(room_id, start="", limit=50)
    assert isinstance(messages, nio.RoomMessagesResponse), messages
    assert any(isinstance(event, nio.RoomCreateEvent) for event in messages.chunk)

    await alice.client.update_room_topic(room_id, "cakes")
    await bob.sees(lambda: bob.client.rooms[room_id].topic == "cakes", "the topic")
    await alice.client.set_displayname("Alice Liddell")
    await bob.sees(
        lambda: bob.client.rooms[room_id].user_name(alice.client.user_id) == "Alice Liddell", "her new name"
    )

    left = await bob.client.room_leave(room_id)
    assert isinstance(left, nio.RoomLeaveResponse), left
    await alice.sees(lambda: bob.client.user_id not in alice.client.rooms[room_id].users, "bob leaving")
    logged_out = await bob.client.logout()
    assert isinstance(logged_out, nio.LogoutResponse), logged_out
    assert isinstance(await bob.client.whoami(), nio.WhoamiError)
    await bob.logs_in(f"{bob.name} likes tea")
    whoami = await bob.client.whoami()
    assert isinstance(whoami, nio.WhoamiResponse), whoami
    assert whoami.user_id == bob.client.user_id


async def talk_encrypted(alice: Person, bob: Person) -> None:
    room_id = await meet(alice, bob, initial_state=[ENCRYPTION])
    for person in (alice, bob):
        await person.sees_encryption(room_id)
        await person.syncs()
    await alice.says(room_id, "psst")
    await bob.hears(room_id, alice, "psst")
    await bob.says(room_id, "yes?")
    await alice.hears(room_id, bob, "yes?")
    page = await bob.client.room_messages(room_id, start="", limit=10)
    assert isinstance(page, nio.RoomMessagesResponse), page
    assert sum(getattr(event, "decrypted", False) for event in page.chunk) == 2


async def verify(alice: Person, bob: Person) -> None:
    await meet(alice, bob, initial_state=[ENCRYPTION])
    for person in (alice, bob):
        await person.syncs()
        await person.syncs()
    devices = alice.client.device_store[bob.client.user_id]
    bobs = devices[bob.client.device_id]
    await alice.client.start_key_verification(bobs)

    def heard(person: Person, kind: type) -> Callable[[], object]:
        return lambda: any(isinstance(event, kind) for event in person.to_device)

    await bob.sees(heard(bob, nio.KeyVerificationStart), "the start")
    (transaction,) = bob.client.key_verifications
    await bob.client.accept_key_verification(transaction)
    await alice.sees(heard(alice, nio.KeyVerificationAccept), "the acceptance")
    await alice.client.send_to_device_messages()
    await bob.sees(heard(bob, nio.KeyVerificationKey), "alice's key")
    await bob.client.send_to_device_messages()
    await alice.sees(heard(alice, nio.KeyVerificationKey), "bob's key")
    assert (
        alice.client.key_verifications[transaction].get_emoji()
        == bob.client.key_verifications[transaction].get_emoji()
    )
    await alice.client.confirm_short_auth_string(transaction)
    await bob.client.confirm_short_auth_string(transaction)
    await alice.sees(heard(alice, nio.KeyVerificationMac), "bob's confirmation")
    await bob.sees(heard(bob, nio.KeyVerificationMac), "alice's confirmation")
    assert bobs.verified
    assert bob.client.device_store[alice.client.user_id][alice.client.device_id].verified


@pytest.mark.parametrize("story", [talk, talk_encrypted, verify], ids=lambda story: story.__name__)
def test_nio_lives_here(
    live_server: ServerProcess, tmp_path: Path, story: Callable[[Person, Person], Awaitable[None]]
) -> None:
    live(live_server, tmp_path, encrypted=story is not talk, story=story)
