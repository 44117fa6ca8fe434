"""Signatures are the specification's, cover what they must, and fail for everything else."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidSignature
from homeserver.events.event import Event
from homeserver.events.room_versions import ROOM_VERSIONS, V1, V2, V3, V4, V5, V7, V8, V10, V12, RoomVersion
from homeserver.events.signatures import (
    SigningKey,
    VerifyKey,
    content_hash,
    decode_base64,
    encode_base64,
    event_id_of,
    format_signing_key,
    has_valid_content_hash,
    parse_signing_keys,
    required_signers,
    sign_event,
    sign_json,
    verify_event,
    verify_json,
)
from homeserver.ids import ServerName
from tests.harness.pure_room import ALICE, BOB, KEY, PureRoom

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data/vectors.json").read_text())
SIGNING = VECTORS["signing"]
DOMAIN = ServerName(SIGNING["server_name"])
SPEC_KEY = SigningKey.of("1", decode_base64(SIGNING["seed_base64"]))
ONE, TWO = ServerName("one"), ServerName("two")
ALL_VERSIONS = list(ROOM_VERSIONS.values())

json_objects = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda key: key != "signatures"),
    st.integers(-5, 5) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


def known(
    key: SigningKey, *servers: str, valid_until_ms: int | None = None
) -> dict[ServerName, dict[str, VerifyKey]]:
    return {ServerName(server): {key.key_id: VerifyKey(key.public, valid_until_ms)} for server in servers}


@pytest.mark.parametrize("vector", VECTORS["unpadded_base64"], ids=lambda vector: vector["input"])
def test_base64_vectors(vector: dict[str, str]) -> None:
    data, encoded = vector["input"].encode(), vector["encoded"]
    assert encode_base64(data) == encoded
    assert decode_base64(encoded) == data
    assert decode_base64(encoded + "=" * (-len(encoded) % 4)) == data


def test_base64_of_either_alphabet_and_nothing_else() -> None:
    assert decode_base64("-_-_") == decode_base64("+/+/")
    for text in ("a", "a b=", "ä", "ab\ncd", "????"):
        with pytest.raises(ValueError, match=r"base64|ASCII"):
            decode_base64(text)


@pytest.mark.parametrize("vector", SIGNING["json"], ids=lambda vector: str(vector["input"]))
def test_json_vectors(vector: dict[str, Any]) -> None:
    value = json.loads(json.dumps(vector["input"]))
    sign_json(value, DOMAIN, SPEC_KEY)
    assert value == vector["signed"]
    assert SPEC_KEY.public_base64 == SIGNING["checked"]["public_key_base64"]
    verify_json(value, DOMAIN, {SPEC_KEY.key_id: SPEC_KEY.public})


@pytest.mark.parametrize("version", ALL_VERSIONS[:10], ids=repr)
@pytest.mark.parametrize("vector", SIGNING["events"], ids=lambda vector: vector["name"])
def test_event_vectors(vector: dict[str, Any], version: RoomVersion) -> None:
    event = {key: value for key, value in vector["input"].items() if key not in ("hashes", "signatures")}
    sign_event(event, version, DOMAIN, SPEC_KEY)
    assert event == vector["signed"]
    assert has_valid_content_hash(event, version)


def test_the_create_event_vector_of_version_12() -> None:
    vector = VECTORS["derived"]["room_version_12_create"]
    pdu = dict(vector["unsigned_input"])
    sign_event(pdu, V12, DOMAIN, SPEC_KEY)
    assert pdu == vector["signed"]
    event = Event.from_pdu(pdu, V12)
    assert (event.event_id, event.room_id) == (vector["event_id"], vector["room_id"])
    verify_event(event, known(SPEC_KEY, DOMAIN))


@given(json_objects, json_objects)
def test_an_object_verifies_until_it_changes(value: dict[str, Any], other: dict[str, Any]) -> None:
    signed = dict(value)
    sign_json(signed, ONE, KEY)
    signed["unsigned"] = {"age": 5}
    verify_json(signed, ONE, {KEY.key_id: KEY.public})
    del signed["unsigned"]
    signedjson.sign.verify_signed_json(signed, ONE, theirs(KEY))
    changed = {**signed, **other}
    if changed != signed and set(other) != {"unsigned"}:
        with pytest.raises(InvalidSignature):
            verify_json(changed, ONE, {KEY.key_id: KEY.public})


def theirs(key: SigningKey) -> Any:
    return signedjson.key.decode_verify_key_bytes(key.key_id, key.public)


def test_signatures_of_others_are_kept() -> None:
    value: dict[str, Any] = {"a": 1}
    sign_json(value, ONE, KEY)
    sign_json(value, TWO, SPEC_KEY)
    sign_json(value, ONE, SPEC_KEY)
    assert set(value["signatures"][ONE]) == {KEY.key_id, SPEC_KEY.key_id}
    verify_json(value, ONE, {KEY.key_id: KEY.public, SPEC_KEY.key_id: SPEC_KEY.public})
    verify_json(value, TWO, {SPEC_KEY.key_id: SPEC_KEY.public})


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        {},
        {"one": {}},
        {"one": "x"},
        {"one": {"ed25519:unknown": "x"}},
        {"one": {KEY.key_id: 5}},
        {"one": {KEY.key_id: "x" * 86}},
        {"one": {KEY.key_id: "short"}},
        {"one": {KEY.key_id: "AAAA"}},
        {"one": {KEY.key_id: "not base64!"}},
        {"one": {"curve25519:a": "x"}},
        {"two": {KEY.key_id: "x"}},
    ],
    ids=repr,
)
def test_missing_and_malformed_signatures(signatures: Any) -> None:
    with pytest.raises(InvalidSignature):
        verify_json({"a": 1, "signatures": signatures}, "one", {KEY.key_id: KEY.public})


def test_every_known_key_must_be_right_and_unknown_ones_do_not_matter() -> None:
    value: dict[str, Any] = {"a": 1}
    sign_json(value, ONE, KEY)
    value["signatures"][ONE][SPEC_KEY.key_id] = "x" * 86
    verify_json(value, ONE, {KEY.key_id: KEY.public})
    with pytest.raises(InvalidSignature):
        verify_json(value, ONE, {KEY.key_id: KEY.public, SPEC_KEY.key_id: SPEC_KEY.public})


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_our_own_events_verify(version: RoomVersion) -> None:
    room = PureRoom(version)
    event = room.makes("m.room.message", ALICE, {"body": "hällo", "n": 2**53 - 1})
    verify_event(event, known(KEY, ONE))
    assert has_valid_content_hash(event.pdu, version)
    assert event_id_of(event.pdu, version) == event.event_id
    assert not has_valid_content_hash({**event.pdu, "content": {}}, version)
    with pytest.raises(InvalidSignature):
        verify_event(event, known(SPEC_KEY, ONE))
    with pytest.raises(InvalidSignature):
        verify_event(event, {})
    with pytest.raises(InvalidSignature):
        verify_event(event.with_pdu({**event.pdu, "depth": 99}), known(KEY, ONE))


@pytest.mark.parametrize("hashes", [{}, {"sha256": 5}, {"sha256": "?"}, {"sha256": "YQ"}], ids=repr)
def test_a_broken_content_hash_is_a_wrong_one(hashes: Any) -> None:
    pdu = PureRoom(V10).makes("m.room.message", ALICE).pdu
    assert not has_valid_content_hash({**pdu, "hashes": hashes}, V10)
    padded = encode_base64(content_hash(pdu, V10)) + "="
    assert has_valid_content_hash({**pdu, "hashes": {"sha256": padded}}, V10)


def test_expired_keys_vouch_for_nothing_as_of_version_5() -> None:
    for version, enforced in ((V4, False), (V5, True), (V12, True)):
        event = PureRoom(version).makes("m.room.message", ALICE)
        verify_event(event, known(KEY, ONE, valid_until_ms=event.origin_server_ts))
        expired = known(KEY, ONE, valid_until_ms=event.origin_server_ts - 1)
        if enforced:
            with pytest.raises(InvalidSignature):
                verify_event(event, expired)
        else:
            verify_event(event, expired)


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_the_senders_server_signs(version: RoomVersion) -> None:
    assert required_signers(PureRoom(version).makes("m.room.message", BOB)) == {TWO}


@pytest.mark.parametrize(("version", "signers"), [(V1, {ONE, TWO}), (V2, {ONE, TWO}), (V3, {TWO})])
def test_of_old_the_event_ids_server_signs_too(version: RoomVersion, signers: set[str]) -> None:
    event = PureRoom(version).makes("m.room.message", BOB, server_name="one")
    assert required_signers(event) == signers


@pytest.mark.parametrize(("version", "signers"), [(V7, {TWO}), (V8, {ONE, TWO}), (V12, {ONE, TWO})])
def test_the_authorising_server_signs_restricted_joins(version: RoomVersion, signers: set[str]) -> None:
    room = PureRoom(version)
    event = room.makes_member(BOB, "join", join_authorised_via_users_server=ALICE)
    assert required_signers(event) == signers
    if ONE in signers:
        with pytest.raises(InvalidSignature):
            verify_event(event, known(KEY, ONE, TWO))
    pdu = event.pdu
    sign_event(pdu, version, ONE, KEY)
    verify_event(event.with_pdu(pdu), known(KEY, ONE, TWO))


def test_anybody_may_send_a_third_partys_invite() -> None:
    room = PureRoom(V10)
    invite = room.makes_member(ALICE, "invite", target=BOB, third_party_invite={"signed": {}})
    assert required_signers(invite) == set()
    assert required_signers(room.makes_member(ALICE, "join", third_party_invite={})) == {ONE}
    assert required_signers(room.makes("m.room.message", ALICE, {"third_party_invite": {}})) == {ONE}
    old = PureRoom(V1).makes_member(ALICE, "invite", target=BOB, third_party_invite={"signed": {}})
    assert required_signers(old) == {ONE}


def test_key_files_are_those_of_signedjson() -> None:
    written = io.StringIO()
    signedjson.key.write_signing_keys(written, [signedjson.key.generate_signing_key("a_abcd")])
    (key,) = parse_signing_keys(written.getvalue())
    assert (key.key_id, format_signing_key(key)) == ("ed25519:a_abcd", written.getvalue())
    assert parse_signing_keys(format_signing_key(KEY) + "\n" + format_signing_key(SPEC_KEY)) == [
        KEY,
        SPEC_KEY,
    ]


@pytest.mark.parametrize(
    "text", ["rsa a AAAA", "ed25519 a", "ed25519 a-b " + "A" * 43, "ed25519 a AAAA", "ed25519 a !"]
)
def test_malformed_key_files_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|seed|base64"):
        parse_signing_keys(text)


def test_a_key_does_not_show_its_seed() -> None:
    assert repr(KEY) == "SigningKey(ed25519:a_test)"
