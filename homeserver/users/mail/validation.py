"""Proving that an e-mail address or a telephone number is one's own, by the link in a message.

A client begins a session with a secret of its own; the message's link ends it. Whoever has the session's ID and the
secret may then use the proof, once, for what the session was begun for.
Spec: https://spec.matrix.org/v1.19/client-server-api/#email-based-identity--homeserver
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlencode, urlsplit

from config.registration import AllowedThreepid
from homeserver.errors import Forbidden, InvalidParam, MatrixError
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.identifiers import canonical_email
from homeserver.users.mail.mailer import Mailer, check_address
from storage import threepids, validation
from storage.database import Database
from storage.threepids import Threepid
from storage.tokens import hash_token
from storage.transaction import Transaction
from storage.validation import ValidationSession

EMAIL, PHONE = "email", "msisdn"
SUBMIT = "/_hearth/client/email/submit_token"

_is_secret = re.compile(r"[0-9a-zA-Z.=_-]{1,255}").fullmatch


class Purpose(Enum):
    """What a proof is for, which is also the mail's template."""

    REGISTRATION = "registration"
    PASSWORD_RESET = "password_reset"  # noqa: S105  # a purpose
    ADDITION = "add_threepid"


class ThreepidInUse(MatrixError):
    errcode = "M_THREEPID_IN_USE"


class ThreepidNotFound(MatrixError):
    errcode = "M_THREEPID_NOT_FOUND"


class ThreepidDenied(Forbidden):
    errcode = "M_THREEPID_DENIED"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client says who wants a message sent; a telephone number is in its canonical form."""

    address: str
    client_secret: str
    send_attempt: int
    next_link: str | None = None


@dataclass(frozen=True, slots=True)
class ValidationPolicy:
    """Which addresses may be proved; with `hides_use` nobody learns here whether one belongs to an account.

    Links lead back to `base_url`, and from there only to pages of `next_hosts`.
    """

    base_url: str
    lifetime_ms: int
    allowed: Sequence[AllowedThreepid] = ()
    hides_use: bool = True
    next_hosts: frozenset[str] = frozenset()


class AddressValidation:
    """The sessions, of one kind of address."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        mailer: Mailer,
        policy: ValidationPolicy,
        *,
        medium: str = EMAIL,
    ) -> None:
        self._medium = medium
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._mailer = mailer
        self._policy = policy

    async def begin(self, purpose: Purpose, request: TokenRequest) -> str:
        """Send a message, unless this attempt's was sent before; the session's ID.

        Raises:
            InvalidParam: the address or the secret cannot be one.
            ThreepidDenied: the server does not want such addresses.
            ThreepidInUse, ThreepidNotFound: according to the purpose, where the server tells that.
        """
        check_secret(request.client_secret)
        address = request.address
        if self._medium == EMAIL:
            address = canonical_email(check_address(address))
        check_allowed(self._policy.allowed, address, medium=self._medium)
        owner = await self._db.read(threepids.find_owner, self._medium, address)
        if (owner is None) == (purpose is Purpose.PASSWORD_RESET):
            if self._policy.hides_use:
                return self._randomness.token(24)
            if owner is None:
                raise ThreepidNotFound("nobody here has this address")
            raise ThreepidInUse("somebody here has this address")
        token = self._randomness.token(32)
        session, is_new_attempt = await self._db.run(self._begin, purpose, address, request, token)
        if is_new_attempt:
            query = urlencode({"sid": session.sid, "token": token})
            link = f"{self._policy.base_url}{SUBMIT}?{query}"
            await self._mailer.send(address, purpose.value, {"link": link})
        return session.sid

    async def submit(self, sid: str, token: str) -> str | None:
        """End a session with its mail's token; where to go next, if the client has said and may.

        Raises:
            Forbidden: there is no such session, or it is not its token.
        """
        session = await self._db.run(self._submit, sid, token)
        if session is None:
            raise Forbidden("this link is wrong, or has expired")
        return session.next_link

    async def redeem(self, purpose: Purpose, sid: str, client_secret: str) -> Threepid:
        """Use up a proof.

        Raises:
            Forbidden: there is none (`M_THREEPID_AUTH_FAILED`).
        """
        proved: Threepid | None = await self._db.run(self._redeem, purpose, sid, client_secret)
        if proved is None:
            raise Forbidden("this address has not been confirmed yet", errcode="M_THREEPID_AUTH_FAILED")
        return proved

    def _next_link(self, link: str | None) -> str | None:
        """The page to go on to: nobody sends mail in this server's name that leads just anywhere."""
        if link is None:
            return None
        try:
            parts = urlsplit(link)
            is_ours = parts.scheme == "https" and parts.netloc in self._policy.next_hosts
        except ValueError:
            return None
        return link if is_ours and link.isascii() and link.isprintable() and "\\" not in link else None

    def _begin(
        self, txn: Transaction, purpose: Purpose, address: str, request: TokenRequest, token: str
    ) -> tuple[ValidationSession, bool]:
        now_ms = self._clock.now_ms()
        validation.delete_expired(txn, now_ms)
        secret_hash = hash_token(request.client_secret)
        old = validation.find_same(txn, purpose.value, self._medium, address, secret_hash)
        if old is not None and (old.validated_ms is not None or request.send_attempt <= old.send_attempt):
            return old, False
        session = ValidationSession(
            self._randomness.token(24) if old is None else old.sid,
            purpose.value,
            self._medium,
            address,
            secret_hash,
            hash_token(token),
            request.send_attempt,
            self._next_link(request.next_link),
            now_ms + self._policy.lifetime_ms,
        )
        validation.put(txn, session)
        return session, True

    def _submit(self, txn: Transaction, sid: str, token: str) -> ValidationSession | None:
        session = self._find(txn, sid)
        if session is None or not hmac.compare_digest(session.token_hash, hash_token(token)):
            return None
        if session.validated_ms is None:
            validation.set_validated(txn, sid, self._clock.now_ms())
        return session

    def _redeem(self, txn: Transaction, purpose: Purpose, sid: str, client_secret: str) -> Threepid | None:
        session = self._find(txn, sid)
        if session is None or session.validated_ms is None:
            return None
        if (session.purpose, session.medium) != (purpose.value, self._medium):
            return None
        if not hmac.compare_digest(session.secret_hash, hash_token(client_secret)):
            return None
        validation.delete(txn, sid)
        return Threepid(session.medium, session.address, session.validated_ms, self._clock.now_ms())

    def _find(self, txn: Transaction, sid: str) -> ValidationSession | None:
        session = None if "\0" in sid else validation.find(txn, sid)
        return None if session is None or session.expires_ms <= self._clock.now_ms() else session


def check_allowed(rules: Sequence[AllowedThreepid], address: str, *, medium: str = EMAIL) -> None:
    """Refuse an address that the server does not want.

    Raises:
        ThreepidDenied: it does not.
    """
    if rules and not any(one.medium == medium and re.fullmatch(one.pattern, address) for one in rules):
        raise ThreepidDenied("this address may not be used here")


def check_secret(client_secret: str) -> None:
    """A client's secret has few letters to choose from.

    Raises:
        InvalidParam: it has another.
    """
    if not _is_secret(client_secret):
        raise InvalidParam("client_secret must be 1 to 255 of [0-9a-zA-Z.=_-]")
