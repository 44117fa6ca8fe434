"""Invite links of groups: what the server keeps of each, so that it can count and end its uses."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import RoomID, UserID
from storage.transaction import Transaction


class InviteLink(NamedTuple):
    """A link; `seed` is the private key whose public half the room's `m.room.third_party_invite` shows."""

    link_id: str
    room_id: RoomID
    creator: UserID
    seed: bytes
    created_ms: int
    expires_ms: int
    max_uses: int | None
    uses: int
    approval: bool
    revoked: bool


def _link(row: tuple[object, ...]) -> InviteLink:
    link = InviteLink(*row)  # type: ignore[arg-type]  # the columns are its fields
    return link._replace(seed=bytes(link.seed), approval=bool(link.approval), revoked=bool(link.revoked))


_SELECT = f"SELECT {', '.join(InviteLink._fields)} FROM im_invite_links"


def insert(txn: Transaction, link: InviteLink) -> None:
    row = tuple(int(value) if isinstance(value, bool) else value for value in link)
    txn.insert("im_invite_links", InviteLink._fields, row)


def find(txn: Transaction, link_id: str) -> InviteLink | None:
    row = txn.one(f"{_SELECT} WHERE link_id = ?", link_id)
    return None if row is None else _link(row)


def list_of_room(txn: Transaction, room_id: RoomID, now_ms: int) -> list[InviteLink]:
    """The links that still work, newest first."""
    rows = txn.all(
        f"{_SELECT} WHERE room_id = ? AND revoked = 0 AND expires_ms > ? ORDER BY created_ms DESC, link_id",
        room_id,
        now_ms,
    )
    return [link for link in map(_link, rows) if link.max_uses is None or link.uses < link.max_uses]


def use(txn: Transaction, link_id: str, now_ms: int) -> InviteLink | None:
    """Count one use; the link after it, or None if it does not work any more."""
    link = find(txn, link_id)
    if link is None or link.revoked or link.expires_ms <= now_ms:
        return None
    if link.max_uses is not None and link.uses >= link.max_uses:
        return None
    txn.execute("UPDATE im_invite_links SET uses = uses + 1 WHERE link_id = ?", link_id)
    return link._replace(uses=link.uses + 1)


def give_back(txn: Transaction, link_id: str) -> None:
    """The use came to nothing."""
    txn.execute("UPDATE im_invite_links SET uses = uses - 1 WHERE link_id = ? AND uses > 0", link_id)


def revoke(txn: Transaction, link_id: str) -> bool:
    """Whether there was one to revoke."""
    return (
        txn.execute("UPDATE im_invite_links SET revoked = 1 WHERE link_id = ? AND revoked = 0", link_id) > 0
    )


def living_seeds(txn: Transaction, now_ms: int) -> list[bytes]:
    """The private keys of the links that work."""
    rows = txn.all("SELECT seed FROM im_invite_links WHERE revoked = 0 AND expires_ms > ?", now_ms)
    return [bytes(seed) for (seed,) in rows]
