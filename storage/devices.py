"""Devices of local users, when they were last seen, and from where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from homeserver.ids import DeviceID, UserID
from storage.transaction import Transaction


class Device(NamedTuple):
    """One of a user's devices; `last_seen_*` lag behind by some minutes."""

    user_id: UserID
    device_id: DeviceID
    display_name: str | None
    created_ms: int
    last_seen_ms: int | None = None
    last_seen_ip: str | None = None
    last_seen_agent: str | None = None


class Sighting(NamedTuple):
    """A device was seen at an address."""

    user_id: UserID
    device_id: DeviceID
    ip: str
    agent: str
    seen_ms: int


_SELECT = (
    "SELECT device_id, display_name, created_ms, last_seen_ms, last_seen_ip, last_seen_agent FROM devices"
)


def add(txn: Transaction, user_id: str, device_id: str, *, display_name: str | None, created_ms: int) -> bool:
    """Add a device; False if the user has it already (it keeps its name then)."""
    return (
        txn.execute(
            "INSERT INTO devices (user_name, device_id, display_name, created_ms) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (user_name, device_id) DO NOTHING",
            txn.intern(user_id),
            device_id,
            display_name,
            created_ms,
        )
        == 1
    )


def find(txn: Transaction, user_id: str, device_id: str) -> Device | None:
    user = txn.find_interned(user_id)
    if user is None:
        return None
    row = txn.one(f"{_SELECT} WHERE user_name = ? AND device_id = ?", user, device_id)
    return None if row is None else Device(UserID(user_id), *row)


def list_of_user(txn: Transaction, user_id: str) -> list[Device]:
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(f"{_SELECT} WHERE user_name = ? ORDER BY created_ms, device_id", user)
    return [Device(UserID(user_id), *row) for row in rows]


def list_unseen_since(txn: Transaction, before_ms: int, *, limit: int) -> list[tuple[UserID, DeviceID]]:
    """Devices that were last seen (or, if never, made) before `before_ms`."""
    rows = txn.all(
        "SELECT n.value, d.device_id FROM devices d JOIN names n ON n.nid = d.user_name"
        " WHERE COALESCE(d.last_seen_ms, d.created_ms) < ? LIMIT ?",
        before_ms,
        limit,
    )
    return [(UserID(str(user_id)), DeviceID(str(device_id))) for user_id, device_id in rows]


def rename(txn: Transaction, user_id: str, device_id: str, display_name: str | None) -> bool:
    """Give a device another name; False if there is no such device."""
    return (
        txn.execute(
            "UPDATE devices SET display_name = ? WHERE user_name = ? AND device_id = ?",
            display_name,
            txn.intern(user_id),
            device_id,
        )
        == 1
    )


def delete(txn: Transaction, user_id: str, device_id: str) -> bool:
    """Delete a device and its connections (not its tokens); False if there was none."""
    user = txn.intern(user_id)
    txn.execute("DELETE FROM connections WHERE user_name = ? AND device_id = ?", user, device_id)
    return txn.execute("DELETE FROM devices WHERE user_name = ? AND device_id = ?", user, device_id) == 1


def record_sightings(txn: Transaction, sightings: Iterable[Sighting]) -> None:
    """Note where devices were seen; devices that are gone by now stay gone."""
    for sighting in sightings:
        user = txn.find_interned(sighting.user_id)
        changed = txn.execute(
            "UPDATE devices SET last_seen_ms = ?, last_seen_ip = ?, last_seen_agent = ?"
            " WHERE user_name = ? AND device_id = ?",
            sighting.seen_ms,
            sighting.ip,
            sighting.agent,
            user,
            sighting.device_id,
        )
        if changed:
            # Sessions that slide live on because they are used.
            txn.execute(
                "UPDATE refresh_tokens SET expires_ms = idle_ms + ?"
                " WHERE user_name = ? AND device_id = ? AND idle_ms IS NOT NULL AND next_id IS NULL",
                sighting.seen_ms,
                user,
                sighting.device_id,
            )
            txn.put(
                "connections",
                ("user_name", "device_id", "ip", "agent", "last_seen_ms"),
                (user, sighting.device_id, sighting.ip, sighting.agent, sighting.seen_ms),
                ("user_name", "device_id", "ip", "agent"),
            )


def list_connections(txn: Transaction, user_id: str) -> list[Sighting]:
    """Where the user connected from, latest first."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT device_id, ip, agent, last_seen_ms FROM connections WHERE user_name = ?"
        " ORDER BY last_seen_ms DESC",
        user,
    )
    return [Sighting(UserID(user_id), *row) for row in rows]


def delete_connections_before(txn: Transaction, before_ms: int) -> int:
    return txn.execute("DELETE FROM connections WHERE last_seen_ms < ?", before_ms)
