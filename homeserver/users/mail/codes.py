"""Proving an e-mail address by six digits that people type."""

from __future__ import annotations

from functools import partial

from homeserver.errors import Forbidden
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.identifiers import canonical_email
from homeserver.users.mail.mailer import Mailer, check_address
from storage import validation
from storage.database import Database
from storage.transaction import Transaction

LIFETIME_MS = 10 * 60_000
ATTEMPTS = 5
"""A million codes, and five guesses at each: a rate limit on asking for codes does the rest."""


class EmailCodes:
    """Sends codes, and takes them. A `purpose` keeps a code for one thing from doing for another."""

    def __init__(self, db: Database, clock: Clock, randomness: Randomness, mailer: Mailer) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._mailer = mailer

    async def send(self, purpose: str, address: str) -> int:
        """Mail a code to an address; how long it works, in milliseconds. Codes of before work no longer.

        Raises:
            InvalidParam: it is no address.
            RemoteError: the mail server did not take the mail.
        """
        canonical = canonical_email(check_address(address))
        code = f"{self._randomness.below(1_000_000):06}"
        await self._db.run(self._put, purpose, canonical, code)
        await self._mailer.send(canonical, "code", {"code": code, "minutes": LIFETIME_MS // 60_000})
        return LIFETIME_MS

    async def redeem(self, purpose: str, address: str, code: str) -> str:
        """Use up a code; the address that it proves, in canonical form.

        Raises:
            Forbidden: it is wrong or expired, or there were too many attempts.
        """
        canonical = canonical_email(address)
        now_ms = self._clock.now_ms()
        is_clean = "\0" not in canonical + code
        if not is_clean or not await self._db.run(
            partial(validation.try_code, now_ms=now_ms), purpose, canonical, code.strip()
        ):
            raise Forbidden("this code is wrong, or has expired")
        return canonical

    def _put(self, txn: Transaction, purpose: str, address: str, code: str) -> None:
        now_ms = self._clock.now_ms()
        validation.delete_expired(txn, now_ms)
        validation.put_code(txn, purpose, address, code, expires_ms=now_ms + LIFETIME_MS, attempts=ATTEMPTS)
