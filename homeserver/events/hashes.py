"""The hashes of an event, and the event ID that follows from one.

Spec: https://spec.matrix.org/v1.19/server-server-api/#calculating-the-content-hash-for-an-event
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from hashlib import sha256
from typing import Any

from homeserver.events.canonical_json import encode_canonical
from homeserver.events.room_versions import EventIDFormat, RoomVersion
from homeserver.ids import EventID

_NOT_IN_CONTENT_HASH = frozenset({"unsigned", "signatures", "hashes"})
_URL_SAFE = str.maketrans("+/", "-_")
_STANDARD = str.maketrans("-_", "+/")


def encode_base64(data: bytes) -> str:
    """Unpadded standard base64."""
    return b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes behind base64 of either alphabet, padded or not.

    Raises:
        ValueError: it is not base64.
    """
    bare = text.rstrip("=").translate(_STANDARD)
    try:
        return a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except Base64Error as error:
        raise ValueError(f"not base64: {error}") from error


def content_hash(pdu: dict[str, Any], version: RoomVersion) -> bytes:
    """SHA-256 of the whole event, but for `unsigned`, `signatures` and `hashes`."""
    hashed = {key: value for key, value in pdu.items() if key not in _NOT_IN_CONTENT_HASH}
    return sha256(encode_canonical(hashed, strict=version.strict_canonical_json)).digest()


def has_valid_content_hash(pdu: dict[str, Any], version: RoomVersion) -> bool:
    """Whether the event is whole. If not, the redacted form is what its signatures vouch for."""
    try:
        claimed = decode_base64(pdu["hashes"]["sha256"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    return claimed == content_hash(pdu, version)


def signed_bytes(pdu: dict[str, Any], version: RoomVersion) -> bytes:
    """What an event's signatures cover: its redacted form without the signatures."""
    redacted = version.redaction.redact(pdu)
    redacted.pop("signatures", None)
    return encode_canonical(redacted, strict=version.strict_canonical_json)


def reference_hash(pdu: dict[str, Any], version: RoomVersion) -> bytes:
    """SHA-256 of the redacted event without its signatures: what other events refer to."""
    return sha256(signed_bytes(pdu, version)).digest()


def event_id_of(pdu: dict[str, Any], version: RoomVersion) -> EventID:
    """The event's ID: a field of it in room versions 1 and 2, its reference hash in all others."""
    if not version.event_ids_are_hashes:
        return EventID(pdu["event_id"])
    return event_id_of_hash(reference_hash(pdu, version), version)


def event_id_of_hash(digest: bytes, version: RoomVersion) -> EventID:
    """The event ID that a reference hash makes."""
    encoded = encode_base64(digest)
    if version.event_id_format is EventIDFormat.URL_SAFE_BASE64:
        encoded = encoded.translate(_URL_SAFE)
    return EventID("$" + encoded)
