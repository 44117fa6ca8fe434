"""Cross-signing keys, and the signatures that users and devices put to the keys of others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from homeserver.ids import UserID
from storage.transaction import Transaction

MASTER, SELF_SIGNING, USER_SIGNING = "master", "self_signing", "user_signing"


class CrossSigningKey(NamedTuple):
    """A public key of a user. `keys` is the canonical JSON as it was uploaded, signatures included."""

    usage: str
    public_key: str
    keys: bytes


class KeySignature(NamedTuple):
    """A signature of the user's key `key_name` (a device ID or a public key) by a key of `signer`."""

    user_id: UserID
    key_name: str
    signer: UserID
    signer_key: str
    signature: str


def save(txn: Transaction, user_id: str, key: CrossSigningKey) -> None:
    """Keep a key in place of the user's last one for its usage; what the old one signed is forgotten."""
    user = txn.intern(user_id)
    before = find(txn, user_id, key.usage)
    if before is not None and before.public_key != key.public_key:
        _forget_signatures_by(txn, user, before.public_key)
        delete_signatures_of(txn, user_id, before.public_key)
    txn.put(
        "cross_signing_keys",
        ("user_name", "usage", "public_key", "keys"),
        (user, *key),
        ("user_name", "usage"),
    )


def find(txn: Transaction, user_id: str, usage: str) -> CrossSigningKey | None:
    return list_of_user(txn, user_id).get(usage)


def list_of_user(txn: Transaction, user_id: str) -> dict[str, CrossSigningKey]:
    """The user's keys by usage."""
    user = txn.find_interned(user_id)
    if user is None:
        return {}
    rows = txn.all("SELECT usage, public_key, keys FROM cross_signing_keys WHERE user_name = ?", user)
    return {str(usage): CrossSigningKey(str(usage), str(public), bytes(keys)) for usage, public, keys in rows}


def delete(txn: Transaction, user_id: str, usage: str) -> bool:
    """Delete one key; False if there was none."""
    return (
        txn.execute(
            "DELETE FROM cross_signing_keys WHERE user_name = ? AND usage = ?", txn.intern(user_id), usage
        )
        == 1
    )


def delete_of_user(txn: Transaction, user_id: str) -> bool:
    """Delete everything about the user's keys; False if they had none."""
    user = txn.intern(user_id)
    txn.execute("DELETE FROM key_signatures WHERE signer = ?", user)
    txn.execute("DELETE FROM key_signatures WHERE user_name = ?", user)
    txn.execute("DELETE FROM cross_signing_resets WHERE user_name = ?", user)
    return txn.execute("DELETE FROM cross_signing_keys WHERE user_name = ?", user) > 0


def add_signatures(txn: Transaction, signatures: Iterable[KeySignature]) -> None:
    for one in signatures:
        txn.put(
            "key_signatures",
            ("user_name", "key_name", "signer", "signer_key", "signature"),
            (txn.intern(one.user_id), one.key_name, txn.intern(one.signer), one.signer_key, one.signature),
            ("user_name", "key_name", "signer", "signer_key"),
        )


def has_signature(txn: Transaction, one: KeySignature) -> bool:
    """Whether we have this very signature."""
    found = txn.value(
        "SELECT signature FROM key_signatures WHERE user_name = ? AND key_name = ? AND signer = ? AND signer_key = ?",
        txn.find_interned(one.user_id),
        one.key_name,
        txn.find_interned(one.signer),
        one.signer_key,
    )
    return bool(found == one.signature)


def list_own_signatures(txn: Transaction, user_id: str) -> list[KeySignature]:
    """The signatures that the user has put to keys of their own."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT key_name, signer_key, signature FROM key_signatures WHERE user_name = ? AND signer = ?",
        user,
        user,
    )
    return [KeySignature(UserID(user_id), name, UserID(user_id), key, text) for name, key, text in rows]


def list_signatures_for_others(txn: Transaction, signer: str) -> list[KeySignature]:
    """The signatures that the user has put to keys of other users; nobody else may see them."""
    number = txn.find_interned(signer)
    if number is None:
        return []
    rows = txn.all(
        "SELECT n.value, s.key_name, s.signer_key, s.signature FROM key_signatures s"
        " JOIN names n ON n.nid = s.user_name WHERE s.signer = ? AND s.user_name <> ?",
        number,
        number,
    )
    return [KeySignature(UserID(user), name, UserID(signer), key, text) for user, name, key, text in rows]


def delete_signatures_of(txn: Transaction, user_id: str, key_name: str) -> None:
    """Forget the signatures of a key that is no more."""
    txn.execute(
        "DELETE FROM key_signatures WHERE user_name = ? AND key_name = ?", txn.intern(user_id), key_name
    )


def allow_reset(txn: Transaction, user_id: str, until_ms: int) -> None:
    """Let the user replace their keys without further proof until then."""
    txn.put(
        "cross_signing_resets", ("user_name", "until_ms"), (txn.intern(user_id), until_ms), ("user_name",)
    )


def find_reset(txn: Transaction, user_id: str) -> int | None:
    """Until when the user may replace their keys without proof."""
    until_ms = txn.value(
        "SELECT until_ms FROM cross_signing_resets WHERE user_name = ?", txn.find_interned(user_id)
    )
    return None if until_ms is None else int(until_ms)


def end_reset(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM cross_signing_resets WHERE user_name = ?", txn.intern(user_id))


def _forget_signatures_by(txn: Transaction, user: int, public_key: str) -> None:
    txn.execute(
        "DELETE FROM key_signatures WHERE signer = ? AND signer_key = ?", user, f"ed25519:{public_key}"
    )
