"""Copies of remote users' devices: fetched once, kept up to date, and not trusted when they may be old."""

from __future__ import annotations

import json
from typing import Any

import pytest

from federation.wire.edus import DirectToDevice, SigningKeyUpdate
from homeserver.e2ee.claims import Claims
from homeserver.e2ee.device_ids import DeviceIDs
from homeserver.e2ee.key_queries import KeyQueries
from homeserver.e2ee.key_rings import KeyRings
from homeserver.e2ee.remote_devices import RemoteDevices
from homeserver.e2ee.to_device import ToDevice
from homeserver.ids import DeviceID, ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.random import Randomness
from storage import device_lists, devices, federation, to_device
from storage.database import Database
from tests.harness.device_crypto import OTK, UserCrypto
from tests.unit.e2ee.remote_server import ALICE, BOB, OURS, THEIRS, Members, RemoteServer, told


class Here:
    """Our side: queries, and what hears of the other server's changes."""

    def __init__(self, db: Database, notifier: Notifier, clock: Clock, randomness: Randomness) -> None:
        self.db = db
        self.there = RemoteServer()
        self.members = Members(db)
        self.log: list[LogEntry] = []
        notifier.subscribe(self.log.extend)
        self.remote = RemoteDevices(db, notifier, self.there, server_name=OURS)
        self.queries = KeyQueries(KeyRings(db, notifier), self.remote, self.there, server_name=OURS)
        self.claims = Claims(db, self.there, server_name=OURS)
        self.to_device = ToDevice(db, DeviceIDs(db, notifier), clock, randomness, server_name=OURS)

    async def query(self, *users: UserID) -> dict[str, Any]:
        wanted: dict[UserID, list[DeviceID]] = {user: [] for user in users or (BOB,)}
        answer: dict[str, Any] = json.loads(await self.queries.query(ALICE, wanted, 1000))
        return answer

    async def devices(self) -> set[str]:
        """The devices of bob that alice is told of."""
        return set((await self.query())["device_keys"][BOB])

    async def together(self) -> None:
        await self.members.set(ALICE, "join")
        await self.members.set(BOB, "join")


@pytest.fixture
def here(database: Database, notifier: Notifier, clock: Clock, randomness: Randomness) -> Here:
    return Here(database, notifier, clock, randomness)


async def test_a_stranger_is_asked_about_each_time(here: Here) -> None:
    here.there.add_device(BOB, "PHONE")
    for _ in range(2):
        answer = await here.query()
        assert set(answer["device_keys"]) == {BOB}
        assert set(answer["device_keys"][BOB]) == {"PHONE"}
    assert here.there.asked == ["query", "query"]


async def test_who_shares_a_room_is_fetched_once(here: Here) -> None:
    await here.together()
    crypto = here.there.add_device(BOB, "PHONE")
    here.there.names["PHONE"] = "Bob's phone"
    for _ in range(3):
        answer = await here.query()
        expected = {**crypto.device_keys(), "unsigned": {"device_display_name": "Bob's phone"}}
        assert answer["device_keys"] == {BOB: {"PHONE": expected}}
    assert here.there.asked == ["devices"]
    assert told(here.log) == []


async def test_a_server_that_does_not_answer(here: Here) -> None:
    await here.together()
    here.there.is_down = True
    answer = await here.query()
    assert answer["device_keys"] == {}
    assert set(answer["failures"]) == {THEIRS}
    here.there.is_down = False
    here.there.add_device(BOB, "PHONE")
    assert await here.devices() == {"PHONE"}


async def test_changes_are_followed_without_asking(here: Here) -> None:
    await here.together()
    here.there.add_device(BOB, "PHONE")
    assert await here.devices() == {"PHONE"}
    before = here.there.stream_id
    here.there.add_device(BOB, "TABLET")
    await here.remote.device_list_update(THEIRS, here.there.update(BOB, "TABLET", prev_id=[before]))
    assert told(here.log) == [(LogKind.DEVICE_LIST, "TABLET")]
    assert here.log[-1].payload == {ALICE}
    assert await here.devices() == {"PHONE", "TABLET"}
    del here.there.devices[BOB]["PHONE"]
    here.there.stream_id += 1
    update = here.there.update(BOB, "PHONE", prev_id=[here.there.stream_id - 1])
    await here.remote.device_list_update(THEIRS, update)
    assert await here.devices() == {"TABLET"}
    # A repeated one, and one that is older than what we have, change nothing.
    entries = len(here.log)
    await here.remote.device_list_update(THEIRS, update)
    assert len(here.log) == entries
    assert here.there.asked == ["devices"]


@pytest.mark.parametrize("prev_id", [[], [1_000_000]])
async def test_a_gap_means_asking_again(here: Here, prev_id: list[int]) -> None:
    await here.together()
    here.there.add_device(BOB, "PHONE")
    await here.devices()
    here.there.add_device(BOB, "LOST")
    here.there.stream_id = 2_000_000
    here.there.add_device(BOB, "TABLET")
    await here.remote.device_list_update(THEIRS, here.there.update(BOB, "TABLET", prev_id=prev_id))
    assert told(here.log) == [(LogKind.DEVICE_LIST, "TABLET")]
    assert await here.devices() == {"PHONE", "LOST", "TABLET"}
    assert here.there.asked == ["devices", "devices"]


async def test_what_was_missed_between_two_stays(here: Here) -> None:
    await here.together()
    here.there.add_device(BOB, "PHONE")
    await here.devices()
    await here.members.set(BOB, "leave")
    here.there.add_device(BOB, "TABLET")
    await here.members.set(BOB, "join")
    assert await here.devices() == {"PHONE", "TABLET"}
    await here.members.set(ALICE, "leave")
    here.there.add_device(BOB, "LAPTOP")
    await here.members.set(ALICE, "join")
    assert await here.devices() == {"PHONE", "TABLET", "LAPTOP"}


async def test_one_room_is_enough(here: Here) -> None:
    await here.together()
    await here.members.set(ALICE, "join", "!other:one.test")
    await here.members.set(BOB, "join", "!other:one.test")
    here.there.add_device(BOB, "PHONE")
    await here.devices()
    await here.members.set(BOB, "leave")
    assert await here.devices() == {"PHONE"}
    assert here.there.asked == ["devices"]


async def test_a_change_during_the_fetch_is_not_lost(here: Here) -> None:
    await here.together()
    here.there.add_device(BOB, "PHONE")
    fetch = here.there.get_user_devices

    async def meanwhile(server: ServerName, user_id: UserID) -> Any:
        answer = await fetch(server, user_id)
        if len(here.there.asked) == 1:
            before = here.there.stream_id
            here.there.add_device(BOB, "TABLET")
            update = here.there.update(BOB, "TABLET", prev_id=[before])
            await here.remote.device_list_update(THEIRS, update)
        return answer

    here.there.get_user_devices = meanwhile  # type: ignore[method-assign] # the fake plays a race
    assert await here.devices() == {"PHONE", "TABLET"}


async def test_nobody_speaks_for_others(here: Here) -> None:
    await here.together()
    here.there.add_device(BOB, "PHONE")
    await here.devices()
    update = here.there.update(BOB, "PHONE", prev_id=[1])
    update.stream_id += 5
    await here.remote.device_list_update(ServerName("three.test"), update)
    await here.remote.signing_key_update(ServerName("three.test"), SigningKeyUpdate(BOB))
    update.user_id = ALICE
    await here.remote.device_list_update(OURS, update)
    assert told(here.log) == told(here.log, ALICE) == []


async def test_strangers_changes_are_ignored_and_forgotten(here: Here) -> None:
    await here.together()
    here.there.add_device(BOB, "PHONE")
    await here.devices()
    await here.members.set(BOB, "leave")
    here.there.add_device(BOB, "TABLET")
    await here.remote.device_list_update(THEIRS, here.there.update(BOB, "TABLET", prev_id=[2]))
    assert told(here.log) == []
    assert await here.db.read(device_lists.find_remote, BOB) is None


async def test_cross_signing_keys_are_followed(here: Here) -> None:
    await here.together()
    old, new = UserCrypto(BOB), UserCrypto(BOB, seed="new")
    keys = old.keys()
    here.there.cross_signing[BOB] = {
        "master_key": keys["master_key"],
        "self_signing_key": keys["self_signing_key"],
    }
    assert (await here.query())["master_keys"] == {BOB: keys["master_key"]}
    update = SigningKeyUpdate(BOB, new.master_key(), new.keys()["self_signing_key"])
    await here.remote.signing_key_update(THEIRS, update)
    assert told(here.log) == [(LogKind.CROSS_SIGNING, "")]
    answer = await here.query()
    assert answer["master_keys"] == {BOB: new.master_key()}
    assert answer["self_signing_keys"] == {BOB: new.keys()["self_signing_key"]}
    assert here.there.asked == ["devices"]


async def test_malformed_keys_are_left_out(here: Here) -> None:
    await here.together()
    here.there.add_device(BOB, "PHONE")
    here.there.devices[BOB]["STOLEN"] = here.there.add_device(UserID("@carol:two.test"), "STOLEN")
    here.there.cross_signing[BOB] = {"master_key": UserCrypto("@carol:two.test").master_key()}
    answer = await here.query()
    assert set(answer["device_keys"][BOB]) == {"PHONE"}
    assert answer["master_keys"] == {}


async def test_claims_hear_only_what_was_asked(here: Here) -> None:
    here.there.one_time_keys = {
        "PHONE": {f"{OTK}:A": {"key": "k"}, "other:B": "k"},
        "OTHER": {f"{OTK}:C": {}},
    }
    claimed, failures = await here.claims.claim({BOB: {DeviceID("PHONE"): OTK}}, 1000)
    assert claimed == {BOB: {"PHONE": {f"{OTK}:A": {"key": "k"}}}}
    assert failures == {}
    here.there.is_down = True
    claimed, failures = await here.claims.claim({BOB: {DeviceID("PHONE"): OTK}}, 1000)
    assert (claimed, set(failures)) == ({}, {THEIRS})


class TestToDevice:
    async def test_messages_from_there_arrive_once(self, here: Here) -> None:
        await here.db.run(devices.add, ALICE, "PHONE", display_name=None, created_ms=0)
        edu = DirectToDevice(BOB, "m.dummy", "m1", {ALICE: {"*": {"n": 1}, "NONE": {}}, BOB: {"*": {}}})
        for _ in range(2):
            await here.to_device.receive(THEIRS, edu)
        got = await here.db.read(to_device.list_after, ALICE, "PHONE", 0, 10)
        assert [json.loads(one.message) for one in got] == [
            {"type": "m.dummy", "sender": BOB, "content": {"n": 1}}
        ]
        await here.to_device.receive(ServerName("three.test"), edu)
        edu.message_id = "m2"
        await here.to_device.receive(THEIRS, edu)
        assert len(await here.db.read(to_device.list_after, ALICE, "PHONE", 0, 10)) == 2

    async def test_messages_to_there_are_owed_in_pieces(self, here: Here) -> None:
        content = {"ciphertext": "x" * 30_000}
        messages = {BOB: {f"D{number}": content for number in range(5)}}
        for _ in range(2):
            await here.to_device.send(ALICE, DeviceID("PHONE"), "m.dummy", "t1", messages)
        owed = await here.db.read(federation.next_edus, THEIRS, 100)
        edus = [json.loads(one.edu) for one in owed]
        assert len(edus) == 3
        assert all(len(one.edu) <= 64 * 1024 for one in owed)
        assert {edu["edu_type"] for edu in edus} == {"m.direct_to_device"}
        assert len({edu["content"]["message_id"] for edu in edus}) == 3
        sent = {device for edu in edus for device in edu["content"]["messages"][BOB]}
        assert sent == set(messages[BOB])
