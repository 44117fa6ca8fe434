"""The projection of friendships: rooms of two people and the requests that made them, a row for each local one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homeserver.ids import RoomID, UserID
from storage.transaction import Transaction


class Direct(NamedTuple):
    """A room of two people as one of them has it; `mine_before` and `theirs_before` are what their memberships were."""

    user_id: UserID
    room_id: RoomID
    peer: UserID
    mine: str
    mine_before: str
    theirs: str
    theirs_before: str
    friends: bool
    since_ms: int
    remark: str | None
    category: str
    sort_key: str


class FriendRequest(NamedTuple):
    """An invitation to, or a knock on, a room of two people."""

    request_id: str
    room_id: RoomID
    event: int
    sender: UserID
    target: UserID
    is_knock: bool
    message: str
    created_ms: int
    expires_ms: int | None
    state: str
    handled_ms: int | None
    ignored: bool


class MemberRow(NamedTuple):
    """A membership event of a room, as it is stored."""

    number: int
    json: bytes
    event_id: str


def members(txn: Transaction, room: int) -> list[MemberRow]:
    """The membership events of a room, in the order of the graph; those that were refused are left out."""
    kind = txn.find_interned("m.room.member")
    rows = txn.all(
        "SELECT number, json, event_id FROM events WHERE room = ? AND type = ? AND state_key IS NOT NULL"
        " AND flags & 6 = 0 ORDER BY depth, number",
        room,
        kind,
    )
    return [MemberRow(number, bytes(json), event_id) for number, json, event_id in rows]


def is_direct(txn: Transaction, room: int) -> bool:
    return txn.one("SELECT 1 FROM im_directs WHERE room = ? LIMIT 1", room) is not None


def memberships(txn: Transaction, room: int) -> dict[UserID, str]:
    """Who is what in a room now."""
    rows = txn.all(
        "SELECT n.value, m.membership FROM membership m JOIN names n ON n.nid = m.user_name WHERE m.room = ?",
        room,
    )
    return {UserID(str(user)): str(membership) for user, membership in rows}


def rooms(txn: Transaction) -> list[int]:
    """Every room with members, and every one that has rows here."""
    rows = txn.all(
        "SELECT DISTINCT room FROM membership UNION SELECT room FROM im_directs"
        " UNION SELECT room FROM im_friend_requests"
    )
    return sorted(int(room) for (room,) in rows)


def replace_room(
    txn: Transaction, room: int, directs: Sequence[Direct], requests: Sequence[FriendRequest]
) -> None:
    """The room is, and has been asked for, like this."""
    txn.execute("DELETE FROM im_directs WHERE room = ?", room)
    txn.execute("DELETE FROM im_friend_requests WHERE room = ?", room)
    for direct in directs:
        txn.insert(
            "im_directs",
            (
                "user_name",
                "room",
                "peer",
                "mine",
                "mine_before",
                "theirs",
                "theirs_before",
                "friends",
                "since_ms",
                "remark",
                "category",
                "sort_key",
            ),
            (
                txn.intern(direct.user_id),
                room,
                txn.intern(direct.peer),
                direct.mine,
                direct.mine_before,
                direct.theirs,
                direct.theirs_before,
                int(direct.friends),
                direct.since_ms,
                direct.remark,
                direct.category,
                direct.sort_key,
            ),
        )
    for request in requests:
        txn.insert(
            "im_friend_requests",
            (
                "request_id",
                "room",
                "event",
                "sender",
                "target",
                "is_knock",
                "message",
                "created_ms",
                "expires_ms",
                "state",
                "handled_ms",
                "ignored",
            ),
            (
                request.request_id,
                room,
                request.event,
                txn.intern(request.sender),
                txn.intern(request.target),
                int(request.is_knock),
                request.message,
                request.created_ms,
                request.expires_ms,
                request.state,
                request.handled_ms,
                int(request.ignored),
            ),
        )


_DIRECT = (
    "SELECT u.value, r.value, p.value, d.mine, d.mine_before, d.theirs, d.theirs_before, d.friends, d.since_ms,"
    " d.remark, d.category, d.sort_key FROM im_directs d JOIN names u ON u.nid = d.user_name"
    " JOIN names r ON r.nid = d.room JOIN names p ON p.nid = d.peer"
)
_REQUEST = (
    "SELECT q.request_id, r.value, q.event, s.value, t.value, q.is_knock, q.message, q.created_ms, q.expires_ms,"
    " q.state, q.handled_ms, q.ignored FROM im_friend_requests q JOIN names r ON r.nid = q.room"
    " JOIN names s ON s.nid = q.sender JOIN names t ON t.nid = q.target"
)


def _direct(row: Sequence[object]) -> Direct:
    found = Direct(*row)  # type: ignore[arg-type]  # the columns are those of _DIRECT
    return found._replace(friends=bool(found.friends))


def _request(row: Sequence[object]) -> FriendRequest:
    found = FriendRequest(*row)  # type: ignore[arg-type]  # the columns are those of _REQUEST
    return found._replace(is_knock=bool(found.is_knock), ignored=bool(found.ignored))


def between(txn: Transaction, user_id: str, peer: str) -> list[Direct]:
    """The rooms of the two, friends' first, then by room ID: the first is the one that counts."""
    user, other = txn.find_interned(user_id), txn.find_interned(peer)
    if user is None or other is None:
        return []
    rows = txn.all(f"{_DIRECT} WHERE d.user_name = ? AND d.peer = ?", user, other)
    found = [_direct(row) for row in rows]
    return sorted(found, key=lambda each: (not each.friends, each.room_id))


def find(txn: Transaction, user_id: str, room_id: str) -> Direct | None:
    user, room = txn.find_interned(user_id), txn.find_interned(room_id)
    if user is None or room is None:
        return None
    row = txn.one(f"{_DIRECT} WHERE d.user_name = ? AND d.room = ?", user, room)
    return None if row is None else _direct(row)


def of_rooms(txn: Transaction, user_id: str, rooms: Sequence[int]) -> dict[RoomID, Direct]:
    """Those of the rooms that are of two people, as the user has them."""
    user = txn.find_interned(user_id)
    if user is None or not rooms:
        return {}
    marks = ", ".join("?" * len(rooms))
    found = [
        _direct(row)
        for row in txn.all(f"{_DIRECT} WHERE d.user_name = ? AND d.room IN ({marks})", user, *rooms)
    ]
    return {each.room_id: each for each in found}


def are_friends(txn: Transaction, user_id: str, peer: str) -> bool:
    return any(each.friends for each in between(txn, user_id, peer))


def friends(
    txn: Transaction, user_id: str, *, after: tuple[str, str] | None, limit: int, category: str | None = None
) -> list[Direct]:
    """The user's friends by sort key and ID; two rooms with one friend count once, as `between` says."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    conditions, params = ["d.user_name = ?", "d.friends = 1"], [user]
    if category is not None:
        conditions.append("d.category = ?")
        params.append(category)  # type: ignore[arg-type]  # parameters are of any kind
    if after is not None:
        conditions.append("(d.sort_key > ? OR (d.sort_key = ? AND p.value > ?))")
        params += [after[0], after[0], after[1]]  # type: ignore[list-item]  # as above
    rows = txn.all(
        f"{_DIRECT} WHERE {' AND '.join(conditions)} AND NOT EXISTS (SELECT 1 FROM im_directs o"
        " JOIN names n ON n.nid = o.room WHERE o.user_name = d.user_name AND o.peer = d.peer AND o.friends = 1"
        " AND n.value < r.value) ORDER BY d.sort_key, p.value LIMIT ?",
        *params,
        limit,
    )
    return [_direct(row) for row in rows]


def friend_ids(txn: Transaction, user_id: str) -> list[UserID]:
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT DISTINCT n.value FROM im_directs d JOIN names n ON n.nid = d.peer"
        " WHERE d.user_name = ? AND d.friends = 1 ORDER BY n.value",
        user,
    )
    return [UserID(str(peer)) for (peer,) in rows]


def in_category(txn: Transaction, user_id: str, category: str) -> list[Direct]:
    user = txn.find_interned(user_id)
    if user is None:
        return []
    return [
        _direct(row) for row in txn.all(f"{_DIRECT} WHERE d.user_name = ? AND d.category = ?", user, category)
    ]


def find_request(txn: Transaction, request_id: str, user_id: str) -> FriendRequest | None:
    """The request of this ID that the user has made or got; the newest if somebody has used an ID twice."""
    user = txn.find_interned(user_id)
    if user is None:
        return None
    row = txn.one(
        f"{_REQUEST} WHERE q.request_id = ? AND (q.sender = ? OR q.target = ?) ORDER BY q.event DESC LIMIT 1",
        request_id,
        user,
        user,
    )
    return None if row is None else _request(row)


def requests(
    txn: Transaction, user_id: str, *, incoming: bool, before: tuple[int, int] | None, limit: int
) -> list[FriendRequest]:
    """The requests that the user has got, or made, newest first; `before` is (created, event) of the last one seen."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    column = "q.target" if incoming else "q.sender"
    condition, params = "", [user]
    if before is not None:
        condition = "AND (q.created_ms < ? OR (q.created_ms = ? AND q.event < ?))"
        params += [before[0], before[0], before[1]]
    rows = txn.all(
        f"{_REQUEST} WHERE {column} = ? {condition} ORDER BY q.created_ms DESC, q.event DESC LIMIT ?",
        *params,
        limit,
    )
    return [_request(row) for row in rows]


def last_request(txn: Transaction, sender: str, target: str) -> FriendRequest | None:
    """The newest request from the one to the other."""
    one, other = txn.find_interned(sender), txn.find_interned(target)
    if one is None or other is None:
        return None
    row = txn.one(
        f"{_REQUEST} WHERE q.sender = ? AND q.target = ? ORDER BY q.created_ms DESC, q.event DESC LIMIT 1",
        one,
        other,
    )
    return None if row is None else _request(row)


def pending_between(txn: Transaction, one: str, other: str) -> list[FriendRequest]:
    first, second = txn.find_interned(one), txn.find_interned(other)
    if first is None or second is None:
        return []
    rows = txn.all(
        f"{_REQUEST} WHERE q.state = 'pending'"
        " AND ((q.sender = ? AND q.target = ?) OR (q.sender = ? AND q.target = ?))",
        first,
        second,
        second,
        first,
    )
    return [_request(row) for row in rows]


def crossed_pairs(txn: Transaction) -> list[tuple[UserID, UserID]]:
    """Those who both have a pending request to the other."""
    rows = txn.all(
        "SELECT s.value, t.value FROM im_friend_requests q JOIN im_friend_requests o"
        " ON o.sender = q.target AND o.target = q.sender AND o.state = 'pending'"
        " JOIN names s ON s.nid = q.sender JOIN names t ON t.nid = q.target"
        " WHERE q.state = 'pending' AND q.sender < q.target"
    )
    return [(UserID(str(one)), UserID(str(other))) for one, other in rows]


def has_history(txn: Transaction, room_id: str) -> bool:
    """Whether the two of a room were ever friends in it."""
    room = txn.find_interned(room_id)
    sql = "SELECT 1 FROM im_friend_requests WHERE room = ? AND state = 'accepted' LIMIT 1"
    return txn.one(sql, room) is not None


def may_knock(txn: Transaction, room_id: str, user_id: str) -> bool:
    """Whether the room is not one of two people, or the user is one of them."""
    rows = txn.all("SELECT user_name, peer FROM im_directs WHERE room = ?", txn.find_interned(room_id))
    user = txn.find_interned(user_id)
    return not rows or any(user in row for row in rows)


def expiring(txn: Transaction, limit: int) -> list[FriendRequest]:
    """The pending requests that expire first."""
    rows = txn.all(
        f"{_REQUEST} WHERE q.state = 'pending' AND q.expires_ms IS NOT NULL ORDER BY q.expires_ms LIMIT ?",
        limit,
    )
    return [_request(row) for row in rows]


def newest_request(txn: Transaction, room_id: str) -> FriendRequest | None:
    """The last request that was made in a room."""
    row = txn.one(f"{_REQUEST} WHERE q.room = ? ORDER BY q.event DESC LIMIT 1", txn.find_interned(room_id))
    return None if row is None else _request(row)
