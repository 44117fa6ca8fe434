"""One-time keys, which are given out in the order of their upload and never twice, and the fallback keys after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import msgspec

from storage.transaction import Slot, Transaction


class KeyName(NamedTuple):
    """What a key is called within its device: `algorithm:key_id`."""

    algorithm: str
    key_id: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.key_id}"


class ClaimedKey(NamedTuple):
    """A key that somebody has been given."""

    name: KeyName
    key_json: bytes
    is_fallback: bool


class KeysLeft(NamedTuple):
    """How many one-time keys a device has by algorithm, and for which its fallback key is unused."""

    counts: dict[str, int]
    unused_fallbacks: list[str]


MAX_KEYS = 5000
"""One-time keys that a device may have: what the largest of the clients' libraries keeps the secret halves of."""

CLAIMED_KEPT = MAX_KEYS
"""Claimed keys remembered for each device and algorithm: no upload that is repeated can have more."""

_PRUNE_EVERY = 50
_AT_ONCE = 500


class KnownKey(NamedTuple):
    """A key of that name that was uploaded before; of a claimed one only the digest is left."""

    digest: bytes
    key_json: bytes | None


def digest_of(key_json: bytes) -> bytes:
    """What tells one key from another, whoever has signed it."""
    key = msgspec.json.decode(key_json)
    bare = key.get("key") if isinstance(key, dict) else key
    return blake2b(msgspec.json.encode(bare), digest_size=16).digest()


def find(txn: Transaction, user_id: str, device_id: str, names: Iterable[KeyName]) -> dict[KeyName, KnownKey]:
    """Those of the named one-time keys that the device has uploaded, be they claimed or not."""
    wanted = set(names)
    key_ids = sorted({name.key_id for name in wanted})
    user = txn.find_interned(user_id)
    found: dict[KeyName, KnownKey] = {}
    for first in range(0, len(key_ids), _AT_ONCE):
        some = key_ids[first : first + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        rows = txn.all(
            "SELECT algorithm, key_id, key_json, 0 FROM one_time_keys WHERE user_name = ? AND device_id = ?"
            f" AND key_id IN ({marks}) UNION ALL"
            " SELECT algorithm, key_id, digest, 1 FROM claimed_keys WHERE user_name = ? AND device_id = ?"
            f" AND key_id IN ({marks})",
            user,
            device_id,
            *some,
            user,
            device_id,
            *some,
        )
        for algorithm, key_id, value, is_claimed in rows:
            name, content = KeyName(algorithm, key_id), bytes(value)
            if name in wanted:
                found[name] = KnownKey(content, None) if is_claimed else KnownKey(digest_of(content), content)
    return found


def add(
    txn: Transaction, user_id: str, device_id: str, keys: Mapping[KeyName, bytes], position: Slot
) -> None:
    """Add one-time keys of one upload, whose place in the log is `position`."""
    user = txn.intern(user_id)
    for name, key_json in keys.items():
        txn.insert(
            "one_time_keys",
            ("user_name", "device_id", "algorithm", "position", "key_id", "key_json"),
            (user, device_id, name.algorithm, position, name.key_id, key_json),
        )


def save_fallback(
    txn: Transaction, user_id: str, device_id: str, name: KeyName, key_json: bytes, *, used: bool
) -> None:
    """Keep a fallback key in place of the device's last one for the algorithm."""
    txn.put(
        "fallback_keys",
        ("user_name", "device_id", "algorithm", "key_id", "key_json", "used"),
        (txn.intern(user_id), device_id, name.algorithm, name.key_id, key_json, int(used)),
        ("user_name", "device_id", "algorithm"),
    )


def find_fallback(
    txn: Transaction, user_id: str, device_id: str, algorithm: str
) -> tuple[str, bytes, bool] | None:
    """The key ID, the key and whether it has been used."""
    row = txn.one(
        "SELECT key_id, key_json, used FROM fallback_keys"
        " WHERE user_name = ? AND device_id = ? AND algorithm = ?",
        txn.find_interned(user_id),
        device_id,
        algorithm,
    )
    return None if row is None else (str(row[0]), bytes(row[1]), bool(row[2]))


def claim(
    txn: Transaction, user_id: str, device_id: str, algorithm: str, log: Callable[[], Slot]
) -> ClaimedKey | None:
    """Take the oldest one-time key, which is gone then; failing that the fallback key, which is marked.

    If that changes what the device has left, `log` makes the log row that says so.
    """
    user = txn.find_interned(user_id)
    if user is None:
        return None
    while True:
        row = txn.one(
            "SELECT position, key_id, key_json FROM one_time_keys"
            " WHERE user_name = ? AND device_id = ? AND algorithm = ? ORDER BY position, key_id LIMIT 1",
            user,
            device_id,
            algorithm,
        )
        if row is None:
            break
        position, key_id, key_json = row
        # Where several processes write, another may have been quicker; then its row is gone by now.
        if txn.execute(
            "DELETE FROM one_time_keys WHERE user_name = ? AND device_id = ? AND algorithm = ?"
            " AND position = ? AND key_id = ?",
            user,
            device_id,
            algorithm,
            position,
            key_id,
        ):
            name = KeyName(algorithm, str(key_id))
            _remember_claim(txn, user, device_id, name, bytes(key_json), log())
            return ClaimedKey(name, bytes(key_json), is_fallback=False)
    fallback = find_fallback(txn, user_id, device_id, algorithm)
    if fallback is None:
        return None
    key_id, key_json, used = fallback
    if not used:
        log()
        txn.execute(
            "UPDATE fallback_keys SET used = 1 WHERE user_name = ? AND device_id = ? AND algorithm = ?",
            user,
            device_id,
            algorithm,
        )
    return ClaimedKey(KeyName(algorithm, key_id), key_json, is_fallback=True)


def _remember_claim(
    txn: Transaction, user: int, device_id: str, name: KeyName, key_json: bytes, position: Slot
) -> None:
    txn.put(
        "claimed_keys",
        ("user_name", "device_id", "algorithm", "key_id", "digest", "position"),
        (user, device_id, *name, digest_of(key_json), position),
        ("user_name", "device_id", "algorithm", "key_id"),
    )
    # Looking for what may be forgotten costs more than the claim: now and then is often enough.
    if crc32(name.key_id.encode("utf-8", "surrogatepass")) % _PRUNE_EVERY:
        return
    oldest = txn.value(
        "SELECT position FROM claimed_keys WHERE user_name = ? AND device_id = ? AND algorithm = ?"
        " ORDER BY position DESC LIMIT 1 OFFSET ?",
        user,
        device_id,
        name.algorithm,
        CLAIMED_KEPT,
    )
    if oldest is not None:
        txn.execute(
            "DELETE FROM claimed_keys WHERE user_name = ? AND device_id = ? AND algorithm = ? AND position <= ?",
            user,
            device_id,
            name.algorithm,
            oldest,
        )


def keys_left(txn: Transaction, user_id: str, device_id: str) -> KeysLeft:
    """What the device has to offer."""
    user = txn.find_interned(user_id)
    rows = txn.all(
        "SELECT algorithm, COUNT(*) FROM one_time_keys WHERE user_name = ? AND device_id = ? GROUP BY algorithm",
        user,
        device_id,
    )
    unused = txn.all(
        "SELECT algorithm FROM fallback_keys WHERE user_name = ? AND device_id = ? AND used = 0"
        " ORDER BY algorithm",
        user,
        device_id,
    )
    return KeysLeft({algorithm: int(count) for algorithm, count in rows}, [name for (name,) in unused])


def delete_of_device(txn: Transaction, user_id: str, device_id: str) -> None:
    user = txn.intern(user_id)
    txn.execute("DELETE FROM one_time_keys WHERE user_name = ? AND device_id = ?", user, device_id)
    txn.execute("DELETE FROM claimed_keys WHERE user_name = ? AND device_id = ?", user, device_id)
    txn.execute("DELETE FROM fallback_keys WHERE user_name = ? AND device_id = ?", user, device_id)
