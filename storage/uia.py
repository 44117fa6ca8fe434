"""Sessions of user-interactive authentication: which stages somebody has passed for which request."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from homeserver.ids import UserID
from storage.transaction import Transaction

_FREE, _CLAIMED, _PASSED = 0, 1, 2


class AuthSession(NamedTuple):
    """A session; `completed` has each passed stage's result in order, `memory` what stages keep meanwhile.

    A claimed session is being used by a request right now; a passed one has let a request through and may let
    more of its kind through for a moment.
    """

    session_id: str
    created_ms: int
    operation: str
    user_id: UserID | None
    description: str
    completed: list[tuple[str, Any]]
    memory: dict[str, Any]
    is_passed: bool = False


def add(txn: Transaction, session: AuthSession) -> None:
    txn.insert(
        "uia_sessions",
        (
            "session_id",
            "created_ms",
            "operation",
            "user_name",
            "description",
            "completed",
            "memory",
            "use_state",
        ),
        (
            session.session_id,
            session.created_ms,
            session.operation,
            None if session.user_id is None else txn.intern(session.user_id),
            session.description,
            msgspec.json.encode(session.completed),
            msgspec.json.encode(session.memory),
            _FREE,
        ),
    )


def find(txn: Transaction, session_id: str) -> AuthSession | None:
    row = txn.one(
        "SELECT created_ms, operation, user_name, description, completed, memory, use_state FROM uia_sessions"
        " WHERE session_id = ?",
        session_id,
    )
    if row is None:
        return None
    created_ms, operation, user, description, completed, memory, use_state = row
    return AuthSession(
        session_id,
        created_ms,
        operation,
        None if user is None else UserID(txn.interned(user)),
        description,
        msgspec.json.decode(bytes(completed), type=list[tuple[str, Any]]),
        msgspec.json.decode(bytes(memory)),
        use_state == _PASSED,
    )


def complete_stage(txn: Transaction, session_id: str, stage: str, result: Any) -> AuthSession | None:
    """Note that a stage was passed (once: a stage passed before keeps its result); None if the session is
    gone.
    """
    session = find(txn, session_id)
    if session is None or any(done == stage for done, _ in session.completed):
        return session
    session.completed.append((stage, result))
    txn.execute(
        "UPDATE uia_sessions SET completed = ? WHERE session_id = ?",
        msgspec.json.encode(session.completed),
        session_id,
    )
    return session


def remember(txn: Transaction, session_id: str, stage: str, value: Any) -> None:
    """Keep what a stage needs at its next attempt."""
    session = find(txn, session_id)
    if session is not None:
        txn.execute(
            "UPDATE uia_sessions SET memory = ? WHERE session_id = ?",
            msgspec.json.encode({**session.memory, stage: value}),
            session_id,
        )


def claim(txn: Transaction, session_id: str) -> bool:
    """Take the session for the request that uses it; False if another one does, or has ended it."""
    return (
        txn.execute(
            "UPDATE uia_sessions SET use_state = ? WHERE session_id = ? AND use_state <> ?",
            _CLAIMED,
            session_id,
            _CLAIMED,
        )
        == 1
    )


def release(txn: Transaction, session_id: str, *, passed: bool) -> None:
    """Give a claimed session back; `passed` if it has let its request through."""
    txn.execute(
        "UPDATE uia_sessions SET use_state = ? WHERE session_id = ?", _PASSED if passed else _FREE, session_id
    )


def delete(txn: Transaction, session_id: str) -> None:
    txn.execute("DELETE FROM uia_sessions WHERE session_id = ?", session_id)


def list_before(txn: Transaction, before_ms: int, *, limit: int) -> list[str]:
    """The oldest sessions that began before `before_ms`."""
    rows = txn.all(
        "SELECT session_id FROM uia_sessions WHERE created_ms < ? ORDER BY created_ms LIMIT ?",
        before_ms,
        limit,
    )
    return [str(session_id) for (session_id,) in rows]
