"""Registration tokens: keys that administrators hand out to those who may register."""

from __future__ import annotations

from homeserver.runtime.clock import Clock
from homeserver.users.registration_policy import RegistrationPolicy
from storage import registration_tokens
from storage.database import Database


class RegistrationTokens:
    """Says whether a token would be accepted now."""

    def __init__(self, db: Database, clock: Clock, policy: RegistrationPolicy) -> None:
        self._db = db
        self._clock = clock
        self._policy = policy

    async def is_valid(self, token: str) -> bool:
        """Whether the token is known, not expired, and has a use left.

        Raises:
            Forbidden: registration is disabled, so no token is.
        """
        self._policy.check_open()
        if "\0" in token:
            return False
        found = await self._db.read(registration_tokens.find, token)
        return found is not None and found.is_valid(self._clock.now_ms())
