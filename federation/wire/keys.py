"""The signing keys that a server publishes, and for how long each vouches for what.

Spec: https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import InvalidSignature, RemoteError
from homeserver.events.signatures import (
    SigningKey,
    VerifyKey,
    decode_base64,
    encode_base64,
    sign_json,
    verify_json,
)
from homeserver.ids import ServerName

MAX_VALIDITY_MS = 7 * 24 * 3600 * 1000
"""A key is believed for a week at most, so that its owner can take it back."""

MIN_PUBLISHED_VALIDITY_MS = 3600 * 1000
"""Answers that expire within the hour would be asked for again at once."""

MAX_KEYS = 100
"""Keys of one server that are read; a list without end is an attack."""

_SIGNABLE = frozenset(
    # COMPAT(Synapse < 1.0): `tls_fingerprints` was once part of the object.
    {
        "server_name",
        "verify_keys",
        "old_verify_keys",
        "valid_until_ts",
        "signatures",
        "unsigned",
        "tls_fingerprints",
    }
)
_PUBLIC_KEY_BYTES = 32
_MAX_TIME_MS = 2**53 - 1


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """One key of a server's answer. `expired_ms` is set when the server has ceased to use it."""

    public: bytes
    expired_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OldKey:
    """A key of our own that no longer signs, and when it ceased."""

    key_id: str
    public: bytes
    expired_ms: int


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """A server's key object whose own signatures have been checked. `raw` is the object as it came."""

    server_name: ServerName
    keys: Mapping[str, PublishedKey]
    valid_until_ms: int
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A server's key as we keep it.

    `valid_until_ms` is capped to a week after it was fetched; of an old key it is the last moment of its use.
    """

    key_id: str
    public: bytes
    valid_until_ms: int
    is_old: bool
    fetched_ms: int

    def signs_requests_at(self, now_ms: int) -> bool:
        """Whether a request made now may be signed with it: old keys vouch for events only."""
        return not self.is_old and now_ms <= self.valid_until_ms

    def covers(self, time_ms: int) -> bool:
        """Whether the key vouches for an event of that time, in room versions that enforce validity."""
        return time_ms <= self.valid_until_ms

    def as_verify_key(self) -> VerifyKey:
        return VerifyKey(self.public, self.valid_until_ms)


def parse_server_keys(answer: object, server_name: ServerName) -> ServerKeys:
    """What a server, or a notary on its behalf, says that the server's keys are.

    Raises:
        RemoteError: the object is malformed, names another server or is not signed by its own keys.
    """
    if not isinstance(answer, dict):
        raise RemoteError(f"the keys of {server_name} are not an object")
    if answer.get("server_name") != server_name:
        raise RemoteError(f"asked for the keys of {server_name}, got those of {answer.get('server_name')!r}")
    valid_until = answer.get("valid_until_ts")
    if type(valid_until) is not int or not 0 <= valid_until <= _MAX_TIME_MS:
        raise RemoteError(f"the keys of {server_name} have no valid_until_ts")
    current = dict(_parse_keys(answer.get("verify_keys"), server_name))
    old = dict(_parse_keys(answer.get("old_verify_keys", {}), server_name, old=True))
    try:
        verify_json(answer, server_name, {key_id: key.public for key_id, key in current.items()})
    except InvalidSignature as error:
        raise RemoteError(f"the keys of {server_name} are not signed by themselves: {error}") from error
    return ServerKeys(server_name, {**old, **current}, valid_until, answer)


def known_keys(keys: ServerKeys, *, fetched_ms: int) -> list[KnownKey]:
    """The keys of an answer as they are to be kept."""
    capped = min(keys.valid_until_ms, fetched_ms + MAX_VALIDITY_MS)
    return [
        KnownKey(
            key_id,
            key.public,
            # Valid for events *before* it expired.
            capped if key.expired_ms is None else key.expired_ms - 1,
            key.expired_ms is not None,
            fetched_ms,
        )
        for key_id, key in keys.keys.items()
    ]


def build_server_keys(
    server_name: ServerName,
    signing: Iterable[SigningKey],
    old: Iterable[OldKey],
    *,
    valid_until_ms: int,
) -> dict[str, Any]:
    """Our own key object, signed by each of the keys that sign."""
    keys = list(signing)
    answer: dict[str, Any] = {
        "server_name": server_name,
        "verify_keys": {key.key_id: {"key": key.public_base64} for key in keys},
        "old_verify_keys": {
            key.key_id: {"key": encode_base64(key.public), "expired_ts": key.expired_ms} for key in old
        },
        "valid_until_ts": valid_until_ms,
    }
    for key in keys:
        sign_json(answer, server_name, key)
    return answer


def countersign(
    answer: Mapping[str, Any], notary: ServerName, keys: Iterable[SigningKey]
) -> dict[str, Any] | None:
    """Another server's key object with a notary's signatures added; None if a notary should not sign it."""
    # Never sign what others composed beyond the fields that we expect; dropping one would break their signature.
    if not _SIGNABLE.issuperset(answer):
        return None
    signed = {name: value for name, value in answer.items() if name != "unsigned"}
    signatures = answer.get("signatures", {})
    signed["signatures"] = {server: dict(of_server) for server, of_server in signatures.items()}
    for key in keys:
        sign_json(signed, notary, key)
    return signed


def _parse_keys(
    value: object, server_name: ServerName, *, old: bool = False
) -> Iterable[tuple[str, PublishedKey]]:
    if not isinstance(value, dict) or len(value) > MAX_KEYS:
        raise RemoteError(f"the keys of {server_name} are malformed")
    for key_id, entry in value.items():
        # Keys of algorithms that we do not know are none of our business.
        if not key_id.startswith("ed25519:"):
            continue
        text = entry.get("key") if isinstance(entry, dict) else None
        expired = entry.get("expired_ts") if old and isinstance(entry, dict) else None
        if not isinstance(text, str) or (
            old and (type(expired) is not int or not 0 <= expired <= _MAX_TIME_MS)
        ):
            raise RemoteError(f"the key {key_id} of {server_name} is malformed")
        try:
            public = decode_base64(text)
        except ValueError as error:
            raise RemoteError(f"the key {key_id} of {server_name} is not base64") from error
        if len(public) != _PUBLIC_KEY_BYTES:
            raise RemoteError(f"the key {key_id} of {server_name} has {len(public)} bytes")
        yield key_id, PublishedKey(public, expired)
