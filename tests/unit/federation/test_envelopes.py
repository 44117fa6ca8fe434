"""Transactions and handshakes: what is written, and what is refused before it costs anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from federation.wire.handshakes import (
    InviteRequest,
    Template,
    check_handshake_event,
    check_invite,
    check_template,
)
from federation.wire.transactions import (
    Edu,
    Transaction,
    check_limits,
    encode_edu,
    encode_transaction,
    parse_edu,
)
from homeserver.errors import BadJson, InvalidParam, RemoteError, UnsupportedRoomVersion
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.room_versions import V10
from homeserver.ids import RoomID, ServerName, UserID

US, THEM = ServerName("us.test"), ServerName("them.test")
ROOM = RoomID("!room:them.test")
ALICE, BOB = UserID("@alice:us.test"), UserID("@bob:them.test")


@pytest.mark.parametrize("edus", [[], [encode_edu("m.typing", {"b": 1, "a": "é"})]])
def test_a_transaction_is_canonical_json(edus: list[bytes]) -> None:
    body = encode_transaction(US, 5, pdus=[b'{"a":1}', b'{"b":2}'], edus=edus)
    parsed = json.loads(body)
    assert encode_canonical(parsed, strict=True) == body
    assert parsed["pdus"] == [{"a": 1}, {"b": 2}]
    assert [edu["edu_type"] for edu in parsed.get("edus", [])] == ["m.typing"] * len(edus)


@pytest.mark.parametrize(
    "transaction",
    [
        Transaction(pdus=[{}] * 51),
        Transaction(edus=[{}] * 101),
        Transaction(origin="other.test"),
    ],
)
def test_transactions_over_their_limits(transaction: Transaction) -> None:
    with pytest.raises(BadJson):
        check_limits(transaction, THEM)


def test_a_full_transaction_is_allowed() -> None:
    check_limits(Transaction(origin=THEM, pdus=[{}] * 50, edus=[{}] * 100), THEM)
    check_limits(Transaction(), THEM)


def test_one_bad_edu_is_only_itself() -> None:
    assert parse_edu({"edu_type": "m.x", "content": {"a": 1}, "more": 5}) == Edu("m.x", {"a": 1})
    bad_edus: list[object] = [
        {},
        [],
        None,
        {"edu_type": "m.x"},
        {"edu_type": 5, "content": {}},
        {"edu_type": "m.x", "content": 5},
    ]
    for bad in bad_edus:
        assert parse_edu(bad) is None


def member(**changes: Any) -> dict[str, Any]:
    event = {
        "type": "m.room.member",
        "room_id": ROOM,
        "sender": ALICE,
        "state_key": ALICE,
        "content": {"membership": "join"},
    }
    return {**event, **changes}


WRONG: list[dict[str, Any]] = [
    {"type": "m.room.message"},
    {"room_id": "!other:them.test"},
    {"sender": BOB},
    {"sender": None},
    {"state_key": BOB},
    {"state_key": None},
    {"content": {"membership": "leave"}},
    {"content": {}},
    {"content": None},
]


@pytest.mark.parametrize("changes", WRONG)
def test_a_template_is_what_was_asked_for(changes: dict[str, Any]) -> None:
    good = Template(member(), "10")
    assert check_template(good, room_id=ROOM, user_id=ALICE, membership="join") is V10
    with pytest.raises(RemoteError):
        check_template(Template(member(**changes), "10"), room_id=ROOM, user_id=ALICE, membership="join")


def test_a_template_of_an_unknown_version() -> None:
    with pytest.raises(UnsupportedRoomVersion):
        check_template(Template(member(), "99"), room_id=ROOM, user_id=ALICE, membership="join")


@pytest.mark.parametrize("changes", WRONG)
def test_a_handshake_brings_the_senders_own_membership(changes: dict[str, Any]) -> None:
    check_handshake_event(member(), origin=US, room_id=ROOM, membership="join")
    with pytest.raises(InvalidParam):
        check_handshake_event(member(**changes), origin=US, room_id=ROOM, membership="join")


@pytest.mark.parametrize("changes", WRONG)
def test_an_invite_is_for_one_of_us(changes: dict[str, Any]) -> None:
    invite = member(sender=BOB, state_key=ALICE, content={"membership": "invite"})
    check_invite(invite, origin=THEM, room_id=ROOM, us=US)
    changed = {**invite, **changes}
    if changed == invite:
        changed["sender"] = ALICE
    with pytest.raises(InvalidParam):
        check_invite(changed, origin=THEM, room_id=ROOM, us=US)


def test_an_invite_request_may_lack_its_state() -> None:
    assert InviteRequest({}, "10").invite_room_state == []
