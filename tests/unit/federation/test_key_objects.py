"""Server key objects: what is believed of them, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from federation.wire.keys import (
    MAX_VALIDITY_MS,
    OldKey,
    build_server_keys,
    countersign,
    known_keys,
    parse_server_keys,
)
from homeserver.errors import InvalidSignature, RemoteError
from homeserver.events.signatures import SigningKey, sign_json, verify_json
from homeserver.ids import ServerName

SERVER, NOTARY = ServerName("keys.test"), ServerName("notary.test")
ONE, TWO, OLD = (SigningKey.of(version, version.encode() * 32) for version in "abc")
NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def published(**changes: Any) -> dict[str, Any]:
    keys = build_server_keys(
        SERVER, [ONE, TWO], [OldKey(OLD.key_id, OLD.public, NOW_MS - 5)], valid_until_ms=NOW_MS + HOUR_MS
    )
    if changes:
        keys.update(changes)
        keys["signatures"] = {}
        for key in (ONE, TWO):
            sign_json(keys, SERVER, key)
    return keys


def test_our_keys_are_signed_by_each_of_them() -> None:
    keys = published()
    for key in (ONE, TWO):
        verify_json(keys, SERVER, {key.key_id: key.public})
    parsed = parse_server_keys(keys, SERVER)
    assert parsed.keys.keys() == {ONE.key_id, TWO.key_id, OLD.key_id}


def test_old_keys_vouch_for_old_events_and_for_no_request() -> None:
    known = {key.key_id: key for key in known_keys(parse_server_keys(published(), SERVER), fetched_ms=NOW_MS)}
    assert known[ONE.key_id].signs_requests_at(NOW_MS + HOUR_MS)
    assert not known[ONE.key_id].signs_requests_at(NOW_MS + HOUR_MS + 1)
    assert not known[OLD.key_id].signs_requests_at(NOW_MS - 10)
    assert known[OLD.key_id].covers(NOW_MS - 6)
    assert not known[OLD.key_id].covers(NOW_MS - 5)


def test_nobody_is_believed_for_longer_than_a_week() -> None:
    keys = parse_server_keys(published(valid_until_ts=NOW_MS + 1000 * MAX_VALIDITY_MS), SERVER)
    (one, *_) = [key for key in known_keys(keys, fetched_ms=NOW_MS) if key.key_id == ONE.key_id]
    assert one.valid_until_ms == NOW_MS + MAX_VALIDITY_MS


@pytest.mark.parametrize(
    "changes",
    [
        {"server_name": "other.test"},
        {"valid_until_ts": "tomorrow"},
        {"valid_until_ts": -1},
        {"valid_until_ts": True},
        {"verify_keys": []},
        {"verify_keys": {}},
        {"verify_keys": {"ed25519:a": {"key": 5}}},
        {"verify_keys": {"ed25519:a": {"key": "AAAA"}}},
        {"verify_keys": {"ed25519:a": {"key": "%"}}},
        {"old_verify_keys": {"ed25519:c": {"key": OLD.public_base64}}},
        {"verify_keys": {f"ed25519:{n}": {"key": ONE.public_base64} for n in range(101)}},
    ],
)
def test_malformed_keys_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        parse_server_keys(published(**changes), SERVER)


def test_keys_must_sign_themselves() -> None:
    forged = published()
    forged["verify_keys"]["ed25519:evil"] = {"key": OLD.public_base64}
    with pytest.raises(RemoteError):
        parse_server_keys(forged, SERVER)
    unsigned = {**published(), "signatures": {}}
    with pytest.raises(RemoteError):
        parse_server_keys(unsigned, SERVER)
    by_old_key = {**published(), "signatures": {}}
    sign_json(by_old_key, SERVER, OLD)
    with pytest.raises(RemoteError):
        parse_server_keys(by_old_key, SERVER)


def test_keys_of_unknown_algorithms_are_left_aside() -> None:
    keys = published(verify_keys={"ed25519:a": {"key": ONE.public_base64}, "ed448:x": {"key": "?"}})
    assert ONE.key_id in parse_server_keys(keys, SERVER).keys


def test_a_notary_signs_what_it_understands() -> None:
    signed = countersign(published(), NOTARY, [TWO])
    assert signed is not None
    verify_json(signed, NOTARY, {TWO.key_id: TWO.public})
    parse_server_keys(signed, SERVER)
    assert countersign({**published(), "type": "m.room.create"}, NOTARY, [TWO]) is None


def test_a_notary_does_not_touch_what_it_signs() -> None:
    keys = published()
    countersign(keys, NOTARY, [TWO])
    with pytest.raises(InvalidSignature):
        verify_json(keys, NOTARY, {TWO.key_id: TWO.public})
