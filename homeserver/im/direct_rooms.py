"""What the membership events of a room say of friendship: who the two are, what was asked, and what became of it.

A room is one of two people if its first invitation says `is_direct`; they are friends while both, and nobody else,
are in it. So both servers, and every stock client, agree without a word of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from homeserver.ids import NAMESPACE, EventID, UserID

REQUEST = f"{NAMESPACE}request"
"""The key in invitations and knocks that makes them requests of ours."""
EXPIRED = "expired"
"""The reason for which a request's sender takes it back when its time is up."""

PENDING, ACCEPTED, REJECTED, CANCELLED = "pending", "accepted", "rejected", "cancelled"
MAX_MESSAGE = 255


@dataclass(slots=True)
class MemberChange:
    """One membership event, as far as it matters here."""

    number: int
    event_id: EventID
    sender: UserID
    user: UserID
    content: Mapping[str, Any]
    ts: int

    @property
    def membership(self) -> str:
        value = self.content.get("membership")
        return value if isinstance(value, str) else "leave"


@dataclass(slots=True)
class Asked:
    """A request and what became of it."""

    change: MemberChange
    sender: UserID
    target: UserID
    state: str = PENDING
    handled_ms: int | None = None

    @property
    def request_id(self) -> str:
        given = _request(self.change.content).get("id")
        return given if isinstance(given, str) and 0 < len(given) <= 64 else self.change.event_id

    @property
    def message(self) -> str:
        for text in (_request(self.change.content).get("message"), self.change.content.get("reason")):
            if isinstance(text, str):
                return text[:MAX_MESSAGE]
        return ""

    @property
    def expires_ms(self) -> int | None:
        given = _request(self.change.content).get("expires_ts")
        return given if isinstance(given, int) and not isinstance(given, bool) else None

    def end(self, state: str, ts: int) -> None:
        if self.state == PENDING:
            self.state, self.handled_ms = state, ts


@dataclass(slots=True)
class DirectRoom:
    """The outcome: the two, everybody's memberships (now and before), and the requests in order."""

    pair: tuple[UserID, UserID] | None = None
    now: dict[UserID, str] = field(default_factory=dict)
    before: dict[UserID, str] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    since_ms: int = 0

    @property
    def are_friends(self) -> bool:
        if self.pair is None:
            return False
        joined = {user for user, membership in self.now.items() if membership == "join"}
        return joined == set(self.pair)

    def peer_of(self, user: UserID) -> UserID | None:
        if self.pair is None or user not in self.pair:
            return None
        return self.pair[1] if user == self.pair[0] else self.pair[0]


def read(changes: Iterable[MemberChange]) -> DirectRoom:
    """The room that these membership events, in order, have made."""
    room = DirectRoom()
    pending: dict[UserID, Asked] = {}
    for change in changes:
        user, membership = change.user, change.membership
        before = room.now.get(user, "leave")
        if membership == "invite":
            if room.pair is None and change.content.get("is_direct") is True:
                room.pair = (change.sender, user)
            _invited(room, pending, change, before)
        elif membership == "knock":
            peer = room.peer_of(user)
            if peer is not None and before != "knock":
                pending[user] = Asked(change, user, peer)
                room.requests.append(pending[user])
        elif membership == "join":
            asked = pending.pop(user, None)
            if asked is not None:
                asked.end(ACCEPTED, change.ts)
        else:
            asked = pending.pop(user, None)
            if asked is not None:
                asked.end(_end_of(asked, change), change.ts)
        if membership != before:
            room.before[user] = before
            room.now[user] = membership
            if room.pair is not None and user in room.pair:
                room.since_ms = change.ts
    return room


def _invited(room: DirectRoom, pending: dict[UserID, Asked], change: MemberChange, before: str) -> None:
    user = change.user
    knocked = pending.get(user)
    if knocked is not None and knocked.sender == user:
        knocked.end(ACCEPTED, change.ts)
        del pending[user]
    elif room.pair is not None and {change.sender, user} == set(room.pair) and before != "invite":
        pending[user] = Asked(change, change.sender, user)
        room.requests.append(pending[user])


def _end_of(asked: Asked, change: MemberChange) -> str:
    if change.sender == asked.target:
        return REJECTED
    return EXPIRED if change.content.get("reason") == EXPIRED else CANCELLED


def _request(content: Mapping[str, Any]) -> Mapping[str, Any]:
    value = content.get(REQUEST)
    return value if isinstance(value, dict) else {}
