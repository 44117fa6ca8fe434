"""Sending events: messages, state, redactions, and what no event may be.

Spec: https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def test_a_transaction_is_done_once(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    content = {"msgtype": "m.text", "body": "hello"}
    first = await alice.sends(room, "m.room.message", content, transaction_id="once")
    assert await alice.sends(room, "m.room.message", content, transaction_id="once") == first
    other = {"msgtype": "m.text", "body": "something else"}
    assert await alice.sends(room, "m.room.message", other, transaction_id="once") == first
    await server.restarts()
    assert await alice.sends(room, "m.room.message", content, transaction_id="once") == first
    await alice.sees(room, "hello")
    assert alice.room(room).bodies() == ["hello"]


async def test_transactions_are_of_a_device_and_of_a_room(server: Server, alice: User) -> None:
    room, other = await alice.creates_room(), await alice.creates_room()
    phone = await server.logs_in(alice)
    content = {"msgtype": "m.text", "body": "hello"}
    sent = {
        await alice.sends(room, "m.room.message", content, transaction_id="t"),
        await phone.sends(room, "m.room.message", content, transaction_id="t"),
        await alice.sends(other, "m.room.message", content, transaction_id="t"),
    }
    assert len(sent) == 3


async def test_only_the_sending_device_is_told_its_transaction(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    phone = await server.logs_in(alice)
    for device in (alice, bob, phone):
        await device.syncs()
    event_id = await alice.sends(
        room, "m.room.message", {"msgtype": "m.text", "body": "hi"}, transaction_id="tx"
    )
    for device, expected in ((alice, "tx"), (phone, None), (bob, None)):
        await device.sees(room, event=event_id)
        assert device.room(room).timeline[-1]["unsigned"].get("transaction_id") == expected
    fetched = await alice.event(room, event_id)
    assert fetched["unsigned"]["transaction_id"] == "tx"


async def test_state_is_set_replaced_and_read(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    first = await alice.sets(room, "org.example.thing", {"colour": "red"}, state_key="a")
    second = await alice.sets(room, "org.example.thing", {"colour": "blue"}, state_key="a")
    await alice.sets(room, "org.example.thing", {"colour": "green"})
    assert await alice.state(room, "org.example.thing", "a") == {"colour": "blue"}
    assert await alice.state(room, "org.example.thing") == {"colour": "green"}
    assert await alice.request("GET", f"/rooms/{room}/state/org.example.thing") == {"colour": "green"}
    event = await alice.request("GET", f"/rooms/{room}/state/org.example.thing/a", query={"format": "event"})
    assert event["event_id"] == second
    replaced = await alice.event(room, second)
    assert replaced["unsigned"]["replaces_state"] == first
    assert replaced["unsigned"]["prev_content"] == {"colour": "red"}
    with refused("M_NOT_FOUND", 404):
        await alice.state(room, "org.example.thing", "b")
    with refused("M_FORBIDDEN", 403):
        await bob.state(room, "org.example.thing", "a")
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await bob.sets(room, "org.example.thing", {})
    await bob.request("GET", f"/rooms/{room}/state/org.example.thing/a")


async def test_a_state_key_that_is_a_user_is_theirs(alice: User, bob: User) -> None:
    room = await alice.creates_room(
        inviting=bob, version="10", power_level_content_override={"state_default": 0}
    )
    await bob.joins(room)
    await bob.sets(room, "org.example.thing", {}, state_key=bob.user_id)
    with refused("M_FORBIDDEN", 403):
        await bob.sets(room, "org.example.thing", {}, state_key=alice.user_id)


@pytest.mark.parametrize("version", ["1", "3", "10", "11", "12"])
async def test_a_redaction_takes_the_content_and_says_so(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(inviting=bob, version=version)
    await bob.joins(room)
    said = await bob.says(room, "oops")
    await alice.sees(room, "oops")
    with refused("M_FORBIDDEN", 403):
        await bob.redacts(room, await alice.says(room, "not yours"))
    redaction = await bob.redacts(room, said, reason="typo")
    await alice.sees(room, event=redaction)
    shown = alice.room(room).timeline[-1]
    assert shown["redacts"] == said
    assert shown["content"] == {"reason": "typo", "redacts": said}
    event = await alice.event(room, said)
    assert event["content"] == {}
    assert event["unsigned"]["redacted_because"]["event_id"] == redaction
    # Whoever has the power may redact what others said.
    await alice.redacts(room, await bob.says(room, "noise"))
    with refused("M_NOT_FOUND", 404):
        await alice.redacts(room, "$nothing")


@pytest.mark.parametrize("version", ["10", "12"])
async def test_a_redaction_may_be_sent_as_any_event(alice: User, version: str) -> None:
    room = await alice.creates_room(version=version)
    said = await alice.says(room, "oops")
    await alice.sends(room, "m.room.redaction", {"redacts": said})
    assert (await alice.event(room, said))["content"] == {}


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        (b'{"n": 1.5}', 400, "M_BAD_JSON"),
        (b'{"n": 9007199254740992}', 400, "M_BAD_JSON"),
        (b'{"n": -9007199254740992}', 400, "M_BAD_JSON"),
        (b'{"n": 1e3}', 400, "M_BAD_JSON"),
        (b'{"n": NaN}', 400, "M_NOT_JSON"),
        (b'{"a": 1, "a": 2}', 400, "M_NOT_JSON"),
        (b'{"a": "\xff"}', 400, "M_NOT_JSON"),
        (b'{"a": "\\ud800"}', 400, "M_NOT_JSON"),
        (b"[]", 400, "M_BAD_JSON"),
        (b"", 400, "M_NOT_JSON"),
        (b'{"a": ' * 200 + b"1" + b"}" * 200, 400, "M_NOT_JSON"),
        (b'{"body": "' + b"x" * 65_536 + b'"}', 413, "M_TOO_LARGE"),
    ],
    ids=[
        "float",
        "large",
        "small",
        "exponent",
        "nan",
        "twice",
        "utf8",
        "surrogate",
        "list",
        "empty",
        "deep",
        "big",
    ],
)
async def test_what_no_event_may_say_is_refused(alice: User, body: bytes, status: int, errcode: str) -> None:
    room = await alice.creates_room()
    before = (await alice.messages(room))["chunk"]
    with refused(errcode, status):
        await alice.request("PUT", f"/rooms/{room}/send/m.room.message/1", raw=body)
    assert (await alice.messages(room))["chunk"] == before


async def test_floats_were_allowed_once(alice: User) -> None:
    room = await alice.creates_room(version="5")
    event_id = await alice.sends(room, "org.example.number", {"n": 1.5})
    assert (await alice.event(room, event_id))["content"] == {"n": 1.5}


async def test_an_event_fits_into_its_limit_exactly(alice: User) -> None:
    room = await alice.creates_room()
    sizes = {"fits": 60_000, "does not": 65_300}
    await alice.sends(room, "m.room.message", {"body": "x" * sizes["fits"], "msgtype": "m.text"})
    with refused("M_TOO_LARGE", 413):
        await alice.sends(room, "m.room.message", {"body": "x" * sizes["does not"], "msgtype": "m.text"})


@pytest.mark.parametrize(("length", "is_refused"), [(255, False), (256, True)])
async def test_types_and_state_keys_have_255_bytes(alice: User, length: int, is_refused: bool) -> None:
    room = await alice.creates_room()

    async def attempt(path: str) -> int:
        return (await alice.ask("PUT", f"/rooms/{room}/{path}", {"body": "x"})).status

    expected = (400, 413) if is_refused else (200,)
    assert await attempt(f"send/{'t' * length}/1") in expected
    assert await attempt(f"state/{'t' * length}/k") in expected
    assert await attempt(f"state/org.example/{'k' * length}") in expected
    assert await attempt(f"state/org.example/{segment('é' * (length // 2 + 1))}") in (400, 413)


async def test_protected_types_are_refused(alice: User) -> None:
    room = await alice.creates_room()
    with refused("M_FORBIDDEN", 403):
        await alice.sets(room, "m.room.create", {})
    wrong: list[dict[str, Any]] = [
        {"users": {"nonsense": 100}},
        {"users": []},
        {"ban": "100"},
        {"events": {"a": 1.5}},
    ]
    for content in wrong:
        answer = await alice.ask("PUT", f"/rooms/{room}/state/m.room.power_levels", content)
        assert answer.status in (400, 403), (content, answer.body)


async def test_the_same_reaction_counts_once(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    said = await alice.says(room, "hello")

    async def reacts(user: User, key: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": said, "key": key}
        return await user.sends(room, "m.reaction", {"m.relates_to": relation})

    first = await reacts(bob, "👍")
    with refused("M_DUPLICATE_ANNOTATION", 400):
        await reacts(bob, "👍")
    await reacts(bob, "👎")
    await reacts(alice, "👍")
    await bob.redacts(room, first)
    await reacts(bob, "👍")


async def test_who_is_not_there_says_nothing(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    with refused("M_FORBIDDEN", 403):
        await bob.says(room, "hello")
    await bob.joins(room)
    await bob.says(room, "hello")
    await bob.leaves(room)
    with refused("M_FORBIDDEN", 403):
        await bob.says(room, "and another thing")
    with refused("M_FORBIDDEN", 403):
        await bob.says("!nothing:one.test", "hello?")


async def test_power_decides_who_may_speak(alice: User, bob: User) -> None:
    room = await alice.creates_room(
        inviting=bob, power_level_content_override={"events": {"m.room.message": 50}}
    )
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await bob.says(room, "hello")
    await bob.sends(room, "org.example.other", {})
    levels: dict[str, Any] = await alice.state(room, "m.room.power_levels")
    await alice.sets(room, "m.room.power_levels", {**levels, "users": {**levels["users"], bob.user_id: 50}})
    await bob.says(room, "hello")
