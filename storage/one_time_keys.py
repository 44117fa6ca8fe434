"""One-time keys, which are given out in the order of their upload and never twice, and the fallback keys after them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple
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

KEYS_PER_ROW = 50
_PRUNE_EVERY = 50
_AT_ONCE = 500

_COLUMNS = ("user_name", "device_id", "algorithm", "position", "part", "key_count", "keys")
_encode = msgspec.json.encode
_decode_bundle: Any = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class KnownKey(NamedTuple):
    """A key of that name that was uploaded before; of a claimed one only the digest is left."""

    digest: bytes
    key_json: bytes | None


def digest_of(key_json: bytes) -> bytes:
    """What tells one key from another, whoever has signed it."""
    key = msgspec.json.decode(key_json)
    bare = key.get("key") if isinstance(key, dict) else key
    return blake2b(msgspec.json.encode(bare), digest_size=16).digest()


class Supply(NamedTuple):
    """How many keys a device has by algorithm, and those of some names that it has uploaded before."""

    counts: dict[str, int]
    known: dict[KeyName, KnownKey]


def look(txn: Transaction, user_id: str, device_id: str, names: Collection[KeyName]) -> Supply:
    """What the device has, and which of the names are taken, be their keys claimed or not."""
    user = txn.find_interned(user_id)
    rows = txn.all(
        "SELECT algorithm, key_count, claimed_count, key_ids FROM one_time_supplies"
        " WHERE user_name = ? AND device_id = ?",
        user,
        device_id,
    )
    counts: dict[str, int] = {}
    taken: dict[str, str] = {}
    has_claims = False
    for algorithm, count, claimed, key_ids in rows:
        if count:
            counts[algorithm] = int(count)
        has_claims = has_claims or claimed > 0
        taken[algorithm] = key_ids
    known = _find_claimed(txn, user, device_id, names) if has_claims else {}
    again = [name for name in names if f"\n{name.key_id}\n" in taken.get(name.algorithm, "")]
    if again:
        known.update(_find_waiting(txn, user, device_id, again))
    return Supply(counts, known)


def _find_waiting(
    txn: Transaction, user: int | None, device_id: str, names: Collection[KeyName]
) -> dict[KeyName, KnownKey]:
    found: dict[KeyName, KnownKey] = {}
    rows = txn.all(
        "SELECT algorithm, keys FROM one_time_keys WHERE user_name = ? AND device_id = ?", user, device_id
    )
    for algorithm, keys in rows:
        bundle: dict[str, msgspec.Raw] = _decode_bundle(bytes(keys))
        for name in names:
            if name.algorithm == algorithm and name.key_id in bundle:
                key_json = bytes(bundle[name.key_id])
                found[name] = KnownKey(digest_of(key_json), key_json)
    return found


def _find_claimed(
    txn: Transaction, user: int | None, device_id: str, names: Collection[KeyName]
) -> dict[KeyName, KnownKey]:
    wanted: dict[str, list[str]] = {}
    for name in names:
        wanted.setdefault(name.algorithm, []).append(name.key_id)
    found: dict[KeyName, KnownKey] = {}
    for algorithm, key_ids in wanted.items():
        for first in range(0, len(key_ids), _AT_ONCE):
            some = key_ids[first : first + _AT_ONCE]
            rows = txn.all(
                "SELECT key_id, digest FROM claimed_keys WHERE user_name = ? AND device_id = ? AND algorithm = ?"
                f" AND key_id IN ({', '.join('?' * len(some))})",
                user,
                device_id,
                algorithm,
                *some,
            )
            found.update(
                (KeyName(algorithm, str(key_id)), KnownKey(bytes(digest), None)) for key_id, digest in rows
            )
    return found


def add(
    txn: Transaction, user_id: str, device_id: str, keys: Mapping[KeyName, bytes], position: Slot
) -> None:
    """Add one-time keys of one upload, whose place in the log is `position`."""
    user = txn.intern(user_id)
    by_algorithm: dict[str, list[tuple[str, msgspec.Raw]]] = {}
    for name, key_json in keys.items():
        by_algorithm.setdefault(name.algorithm, []).append((name.key_id, msgspec.Raw(key_json)))
    for algorithm, members in by_algorithm.items():
        for part, first in enumerate(range(0, len(members), KEYS_PER_ROW)):
            some = dict(members[first : first + KEYS_PER_ROW])
            row = (user, device_id, algorithm, position, part, len(some), _encode(some))
            txn.insert("one_time_keys", _COLUMNS, row)
        lines = "".join([f"{key_id}\n" for key_id, _ in members])
        txn.execute(
            "INSERT INTO one_time_supplies AS s"
            " (user_name, device_id, algorithm, key_count, claimed_count, key_ids) VALUES (?, ?, ?, ?, 0, ?)"
            " ON CONFLICT (user_name, device_id, algorithm) DO UPDATE"
            " SET key_count = s.key_count + excluded.key_count, key_ids = s.key_ids || ?",
            user,
            device_id,
            algorithm,
            len(members),
            f"\n{lines}",
            lines,
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
    oldest = _take_oldest(txn, user, device_id, algorithm)
    if oldest is not None:
        _remember_claim(txn, user, device_id, oldest, log())
        return oldest
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


def _take_oldest(txn: Transaction, user: int, device_id: str, algorithm: str) -> ClaimedKey | None:
    while True:
        row = txn.one(
            "SELECT position, part, key_count, keys FROM one_time_keys"
            " WHERE user_name = ? AND device_id = ? AND algorithm = ? ORDER BY position, part LIMIT 1",
            user,
            device_id,
            algorithm,
        )
        if row is None:
            return None
        position, part, count, keys = row
        bundle: dict[str, msgspec.Raw] = _decode_bundle(bytes(keys))
        key_id = next(iter(bundle))
        key_json = bytes(bundle.pop(key_id))
        where = (user, device_id, algorithm, position, part, count)
        # Where several processes write, another may have been quicker; then the count is not what it was.
        if bundle:
            taken = txn.execute(
                "UPDATE one_time_keys SET key_count = ?, keys = ?" + _THIS_ROW,
                len(bundle),
                _encode(bundle),
                *where,
            )
        else:
            taken = txn.execute("DELETE FROM one_time_keys" + _THIS_ROW, *where)
        if taken:
            txn.execute(
                "UPDATE one_time_supplies SET key_count = key_count - 1, claimed_count = claimed_count + 1,"
                " key_ids = REPLACE(key_ids, ?, ?) WHERE user_name = ? AND device_id = ? AND algorithm = ?",
                f"\n{key_id}\n",
                "\n",
                user,
                device_id,
                algorithm,
            )
            return ClaimedKey(KeyName(algorithm, key_id), key_json, is_fallback=False)


_THIS_ROW = (
    " WHERE user_name = ? AND device_id = ? AND algorithm = ? AND position = ? AND part = ? AND key_count = ?"
)


def _remember_claim(txn: Transaction, user: int, device_id: str, key: ClaimedKey, position: Slot) -> None:
    name = key.name
    txn.put(
        "claimed_keys",
        ("user_name", "device_id", "algorithm", "key_id", "digest", "position"),
        (user, device_id, *name, digest_of(key.key_json), position),
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
        "SELECT algorithm, key_count FROM one_time_supplies"
        " WHERE user_name = ? AND device_id = ? AND key_count > 0 ORDER BY algorithm",
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
    txn.execute("DELETE FROM one_time_supplies WHERE user_name = ? AND device_id = ?", user, device_id)
    txn.execute("DELETE FROM claimed_keys WHERE user_name = ? AND device_id = ?", user, device_id)
    txn.execute("DELETE FROM fallback_keys WHERE user_name = ? AND device_id = ?", user, device_id)
