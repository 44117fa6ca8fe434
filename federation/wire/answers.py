"""What servers answer to questions about history, users and rooms, as far as we read it.

Fields that we do not read are dropped; lists hold plain objects where each entry is judged on its own.
Spec: https://spec.matrix.org/v1.19/server-server-api/
"""

from __future__ import annotations

from typing import Any

import msgspec


class Pdus(msgspec.Struct):
    """The answer to backfill and `GET /event`: a transaction, of which only the PDUs matter."""

    pdus: list[Any] = []


class MissingEvents(msgspec.Struct):
    events: list[Any] = []


class RoomState(msgspec.Struct):
    """State before an event, and its auth chain. Events are kept as bytes: there may be many."""

    pdus: list[msgspec.Raw]
    auth_chain: list[msgspec.Raw]


class RoomStateIds(msgspec.Struct):
    pdu_ids: list[str]
    auth_chain_ids: list[str]


class AuthChain(msgspec.Struct):
    auth_chain: list[Any]


class EventByTimestamp(msgspec.Struct):
    event_id: str
    origin_server_ts: int


class DirectoryAnswer(msgspec.Struct):
    """Where an alias leads, and through which servers."""

    room_id: str
    servers: list[str]


class PublicRooms(msgspec.Struct):
    """A page of another server's room directory."""

    chunk: list[dict[str, Any]]
    next_batch: str | None = None
    prev_batch: str | None = None
    total_room_count_estimate: int | None = None


class Hierarchy(msgspec.Struct):
    """A room of a space and its children, as one server sees them."""

    room: dict[str, Any]
    children: list[dict[str, Any]] = []
    inaccessible_children: list[str] = []


class UserDevices(msgspec.Struct):
    """A user's devices at a place in the stream of their changes."""

    user_id: str
    stream_id: int
    devices: list[dict[str, Any]] = []
    master_key: dict[str, Any] | None = None
    self_signing_key: dict[str, Any] | None = None


class DeviceKeys(msgspec.Struct):
    """Users' device keys and cross-signing keys."""

    device_keys: dict[str, dict[str, dict[str, Any]]] = {}
    master_keys: dict[str, dict[str, Any]] = {}
    self_signing_keys: dict[str, dict[str, Any]] = {}


class ClaimedKeys(msgspec.Struct):
    """One-time keys: user, device, key ID, key."""

    one_time_keys: dict[str, dict[str, dict[str, Any]]] = {}


class UserInfo(msgspec.Struct):
    """Whose OpenID token it is; the asker checks that the user is of the server asked."""

    sub: str


class ServerVersion(msgspec.Struct):
    server: dict[str, Any] = {}
