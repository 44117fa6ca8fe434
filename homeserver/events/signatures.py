"""Ed25519 signatures of JSON objects and of events, and who must have signed what.

Spec: https://spec.matrix.org/v1.19/appendices/#signing-json
and https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from homeserver.errors import InvalidSignature
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.event import Event
from homeserver.events.hashes import (
    content_hash,
    decode_base64,
    encode_base64,
    event_id_of,
    has_valid_content_hash,
    reference_hash,
    signed_bytes,
)
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import ServerName, domain_of, is_user_id

__all__ = [
    "SigningKey",
    "VerifyKey",
    "content_hash",
    "decode_base64",
    "encode_base64",
    "event_id_of",
    "format_signing_key",
    "has_valid_content_hash",
    "is_third_party_invite",
    "parse_signing_keys",
    "reference_hash",
    "required_signers",
    "sign_bytes",
    "sign_event",
    "sign_json",
    "signed_bytes",
    "verify_bytes",
    "verify_event",
    "verify_json",
]

ALGORITHM = "ed25519"
_SIGNATURE_BYTES = 64
_KEY_VERSION = re.compile(r"[a-zA-Z0-9_]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs in a server's name. `secret` is the 64 bytes that libsodium signs with."""

    key_id: str
    seed: bytes
    secret: bytes
    public: bytes

    @classmethod
    def of(cls, version: str, seed: bytes) -> SigningKey:
        """The key of this version (`a_abcd`), made from 32 secret bytes.

        Raises:
            ValueError: the version or the seed is malformed.
        """
        if not _KEY_VERSION.fullmatch(version):
            raise ValueError(f"{version!r} is not a key version")
        if len(seed) != 32:
            raise ValueError("the seed of a signing key has 32 bytes")
        public, secret = crypto_sign_seed_keypair(seed)
        return cls(f"{ALGORITHM}:{version}", seed, secret, public)

    @property
    def version(self) -> str:
        return self.key_id.partition(":")[2]

    @property
    def public_base64(self) -> str:
        return encode_base64(self.public)

    def __repr__(self) -> str:
        # The seed must not reach a log.
        return f"SigningKey({self.key_id})"


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A server's public key. Events later than `valid_until_ms` are not vouched for; None is for ever."""

    public: bytes
    valid_until_ms: int | None = None


def parse_signing_keys(text: str) -> list[SigningKey]:
    """The keys of a key file as signedjson writes it: `ed25519 a_abcd <unpadded base64 seed>` on each line.

    Raises:
        ValueError: a line is malformed; the message does not repeat the secret.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[0] != ALGORITHM:
            raise ValueError(f"line {number} of the key file is not '{ALGORITHM} <version> <seed>'")
        keys.append(SigningKey.of(fields[1], decode_base64(fields[2])))
    return keys


def format_signing_key(key: SigningKey) -> str:
    """The key's line in a key file."""
    return f"{ALGORITHM} {key.version} {encode_base64(key.seed)}\n"


def sign_bytes(message: bytes, key: SigningKey) -> str:
    """The signature in unpadded base64."""
    return encode_base64(crypto_sign(message, key.secret)[:_SIGNATURE_BYTES])


def verify_bytes(message: bytes, signature: str, public: bytes) -> bool:
    """Whether the signature, in base64, is that of the key's owner under the message."""
    try:
        raw = decode_base64(signature)
        if len(raw) != _SIGNATURE_BYTES:
            return False
        crypto_sign_open(raw + message, public)
    except (BadSignatureError, ValueError):
        return False
    return True


def sign_json(value: dict[str, Any], server: str, key: SigningKey) -> None:
    """Add the server's signature to the object, beside those that it has. `unsigned` is not covered."""
    signature = sign_bytes(_json_to_sign(value), key)
    value.setdefault("signatures", {}).setdefault(server, {})[key.key_id] = signature


def verify_json(value: dict[str, Any], server: str, keys: Mapping[str, bytes]) -> None:
    """Whether the server (or user) has signed the object with the keys that we know of it, by key ID.

    Raises:
        InvalidSignature: there is no signature by a known key, or one of them is wrong.
    """
    _verify(_json_to_sign(value), value.get("signatures"), server, keys)


def sign_event(pdu: dict[str, Any], version: RoomVersion, server: ServerName, key: SigningKey) -> None:
    """Hash the event unless it is hashed, and add the server's signature to those that it has."""
    if "hashes" not in pdu:
        pdu["hashes"] = {"sha256": encode_base64(content_hash(pdu, version))}
    signature = sign_bytes(signed_bytes(pdu, version), key)
    pdu.setdefault("signatures", {}).setdefault(server, {})[key.key_id] = signature


def verify_event(event: Event, keys: Mapping[ServerName, Mapping[str, VerifyKey]]) -> None:
    """Whether every server that must have signed the event has. `keys` are those known per server, by key ID.

    Raises:
        InvalidSignature: naming the first server that has not.
    """
    pdu = event.pdu
    message, signatures = signed_bytes(pdu, event.version), pdu.get("signatures")
    for server in sorted(required_signers(event)):
        known = {key_id: key.public for key_id, key in keys.get(server, {}).items() if _vouches(key, event)}
        _verify(message, signatures, server, known)


def required_signers(event: Event) -> set[ServerName]:
    """The servers without whose signature the event is dropped."""
    signers: set[ServerName] = set()
    # The server that turns a third party's invite into an event is not always that of the inviting user.
    if not is_third_party_invite(event):
        signers.add(event.domain)
    if event.version.event_id_domain_signs:
        signers.add(domain_of(event.event_id))
    if event.version.has_restricted_joins and event.type == "m.room.member":
        authoriser = event.content.get("join_authorised_via_users_server")
        if isinstance(authoriser, str) and is_user_id(authoriser):
            signers.add(domain_of(authoriser))
    return signers


def is_third_party_invite(event: Event) -> bool:
    """Whether the event invites somebody who was invited by e-mail address or telephone number before."""
    if event.type != "m.room.member":
        return False
    return event.content.get("membership") == "invite" and "third_party_invite" in event.content


def _vouches(key: VerifyKey, event: Event) -> bool:
    if not event.version.enforce_key_validity or key.valid_until_ms is None:
        return True
    return event.origin_server_ts <= key.valid_until_ms


def _json_to_sign(value: dict[str, Any]) -> bytes:
    covered = {name: member for name, member in value.items() if name not in ("signatures", "unsigned")}
    return encode_canonical(covered, strict=False)


def _verify(message: bytes, signatures: object, server: str, keys: Mapping[str, bytes]) -> None:
    own = signatures.get(server) if isinstance(signatures, dict) else None
    if not isinstance(own, dict):
        raise InvalidSignature(f"there is no signature of {server}")
    valid = 0
    for key_id, signature in own.items():
        public = keys.get(key_id)
        # Unknown algorithms, unknown keys and expired keys are skipped, not held against it.
        if public is None or not key_id.startswith(ALGORITHM + ":"):
            continue
        if not isinstance(signature, str) or not verify_bytes(message, signature, public):
            raise InvalidSignature(f"the signature of {server} by {key_id} is wrong")
        valid += 1
    if not valid:
        raise InvalidSignature(f"no signature of {server} is by a key that we know to be valid")
