"""Rendezvous sessions: a word that two devices overwrite in turn, for a minute, in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from homeserver.errors import HearthError, LimitExceeded, NotFound
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness

LIFETIME_MS = 60_000
MAX_BYTES = 4096
MAX_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its latest word, that word's tag and the tag of the one before."""

    id: str
    data: bytes
    tag: str
    previous: str
    written_ms: int
    expires_ms: int


class Conflict(HearthError):
    """Somebody else has written in the meantime: `session` is what there is now."""

    def __init__(self, session: Session) -> None:
        super().__init__("concurrent write")
        self.session = session


class Rendezvous:
    """The sessions of this process."""

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock = clock
        self._randomness = randomness
        self._sessions: dict[str, Session] = {}

    def begin(self, data: bytes) -> Session:
        """A new session.

        Raises:
            LimitExceeded: there are too many.
        """
        now_ms = self._clock.now_ms()
        self._sessions = {key: one for key, one in self._sessions.items() if one.expires_ms > now_ms}
        if len(self._sessions) >= MAX_SESSIONS:
            raise LimitExceeded(retry_after_ms=LIFETIME_MS)
        session = Session(
            self._randomness.token(24), data, self._randomness.token(12), "", now_ms, now_ms + LIFETIME_MS
        )
        self._sessions[session.id] = session
        return session

    def load(self, session_id: str) -> Session:
        """A session that is not over.

        Raises:
            NotFound: there is none.
        """
        session = self._sessions.get(session_id)
        if session is None or session.expires_ms <= self._clock.now_ms():
            raise NotFound("there is no such rendezvous, or it is over")
        return session

    def write(self, session_id: str, data: bytes, tag: str) -> Session:
        """Replace the word that has this tag.

        Raises:
            NotFound: there is no such session.
            Conflict: it has another word by now.
        """
        session = self.load(session_id)
        if session.tag != tag:
            raise Conflict(session)
        now_ms = self._clock.now_ms()
        written = replace(
            session, data=data, tag=self._randomness.token(12), previous=session.tag, written_ms=now_ms
        )
        self._sessions[session_id] = written
        return written

    def end(self, session_id: str) -> None:
        """Forget a session.

        Raises:
            NotFound: there is none.
        """
        self.load(session_id)
        del self._sessions[session_id]

    def left_ms(self, session: Session) -> int:
        """How long it will live."""
        return max(0, session.expires_ms - self._clock.now_ms())
