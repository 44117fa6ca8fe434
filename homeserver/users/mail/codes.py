"""Proving an e-mail address by six digits that people type.

Whoever asks is told the same whether or not anybody has the address: a code is noted for every address, and only mailed
to those that it is of use to. The mail goes out behind the answer, so that its time tells nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial

import structlog

from homeserver.errors import LimitExceeded, MatrixError, RemoteError
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.users.identifiers import canonical_email
from homeserver.users.mail.mailer import Mailer, NoMailer, check_address
from homeserver.users.mail.validation import EMAIL
from storage import threepids, validation
from storage.database import Database
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)


class BadCode(MatrixError):
    errcode = "IM_BAD_CODE"


class CodeExpired(MatrixError):
    status = 410
    errcode = "IM_CODE_EXPIRED"


class CodePurpose(Enum):
    """What a code is for: one for one thing does not do for another."""

    REGISTER = "register"
    LOGIN = "login"
    PASSWORD = "password"  # noqa: S105  # a purpose
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class CodeRules:
    """How long codes work, when another may be asked for, and how many tries each has.

    A million codes, and a few guesses at each: a rate limit on asking for codes does the rest.
    """

    lifetime_ms: int = 10 * 60_000
    resend_after_ms: int = 60_000
    attempts: int = 5


class EmailCodes:
    """Sends codes, and takes them."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        tasks: Tasks,
        mailer: Mailer,
        rules: CodeRules,
    ) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._tasks = tasks
        self._mailer = mailer
        self.rules = rules

    async def send(self, purpose: CodePurpose, address: str) -> None:
        """Mail a code to an address. Codes of before work no longer.

        Raises:
            InvalidParam: it is no address.
            LimitExceeded: the last one was sent a moment ago.
            MatrixError: this server sends no mail.
        """
        if isinstance(self._mailer, NoMailer):
            raise MatrixError("this server sends no mail", errcode="M_THREEPID_MEDIUM_NOT_SUPPORTED")
        canonical = canonical_email(check_address(address))
        code = f"{self._randomness.below(1_000_000):06}"
        owner = await self._db.run(self._put, purpose, canonical, code)
        # Somebody who registers has an address that is nobody's yet; everybody else has their own.
        if (owner is None) == (purpose is CodePurpose.REGISTER):
            self._tasks.spawn("mail a code", self._mail(canonical, code))

    async def redeem(self, purpose: CodePurpose, address: str, code: str) -> str:
        """Use up a code; the address that it proves, in canonical form.

        Raises:
            BadCode: it is wrong.
            CodeExpired: it is too old, or was tried too often.
        """
        canonical = canonical_email(address)
        typed = code.strip()
        is_right: bool | None = False
        if "\0" not in canonical + typed:
            now_ms = self._clock.now_ms()
            is_right = await self._db.run(
                partial(validation.try_code, now_ms=now_ms), purpose.value, canonical, typed
            )
        if is_right is None:
            raise CodeExpired("this code works no longer: ask for another")
        if not is_right:
            raise BadCode("this code is wrong")
        return canonical

    async def _mail(self, address: str, code: str) -> None:
        minutes = max(1, self.rules.lifetime_ms // 60_000)
        try:
            await self._mailer.send(address, "code", {"code": code, "minutes": minutes})
        except (RemoteError, MatrixError) as error:
            _log.warning("a code could not be mailed", reason=str(error))

    def _put(self, txn: Transaction, purpose: CodePurpose, address: str, code: str) -> UserID | None:
        """Note the code; whose address it is."""
        now_ms, rules = self._clock.now_ms(), self.rules
        sent_ms = validation.code_sent_ms(txn, purpose.value, address)
        if sent_ms is not None and now_ms < sent_ms + rules.resend_after_ms:
            raise LimitExceeded(
                "a code was sent a moment ago", retry_after_ms=sent_ms + rules.resend_after_ms - now_ms
            )
        validation.delete_expired(txn, now_ms)
        validation.put_code(
            txn,
            purpose.value,
            address,
            code,
            now_ms=now_ms,
            expires_ms=now_ms + rules.lifetime_ms,
            attempts=rules.attempts,
        )
        return threepids.find_owner(txn, EMAIL, address)
