"""Tokens that live for minutes and are exchanged for a login, a proof of identity or a registration."""

from __future__ import annotations

from homeserver.errors import Forbidden, UnknownToken
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import tokens, users
from storage.database import Database
from storage.transaction import Transaction

OPENID_LIFETIME_MS = 3_600_000
LOGIN_LIFETIME_MS = 120_000
NONCE_LIFETIME_MS = 60_000

_LOGIN = "login"
_OPENID = "openid"
_NONCE = "nonce"


class ShortTokens:
    """Issues and redeems them. Whatever has expired is swept out whenever one is issued."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        *,
        login_lifetime_ms: int = LOGIN_LIFETIME_MS,
    ) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self.login_lifetime_ms = login_lifetime_ms

    async def issue_login(self, user_id: UserID, *, lifetime_ms: int | None = None) -> str:
        """A token with which one client may log in as the user, once."""
        return await self._issue("hlt", _LOGIN, user_id, lifetime_ms or self.login_lifetime_ms)

    async def redeem_login(self, token: str) -> UserID:
        """Whom a login token logs in; it is spent.

        Raises:
            Forbidden: it is unknown, spent or expired, or its user is.
        """
        user_id = await self._db.run(self._spend, token, _LOGIN)
        if user_id is None:
            raise Forbidden("the login token is not valid")
        return user_id

    async def issue_openid(self, user_id: UserID) -> str:
        """A token with which anybody may learn from this server that they are dealing with the user."""
        return await self._issue("hot", _OPENID, user_id, OPENID_LIFETIME_MS)

    async def openid_user(self, token: str) -> UserID:
        """Who an OpenID token was issued to.

        Raises:
            UnknownToken: it is unknown or expired, or its user is deactivated.
        """
        user_id = await self._db.read(self._find, token, _OPENID)
        if user_id is None:
            raise UnknownToken("unknown or expired OpenID token")
        return user_id

    async def issue_nonce(self) -> str:
        """A number used once, for shared-secret registration."""
        return await self._issue("", _NONCE, None, NONCE_LIFETIME_MS)

    async def is_fresh_nonce(self, nonce: str) -> bool:
        """Spend a nonce; False if it is unknown, spent or expired."""
        return await self._db.run(self._spend_nonce, nonce)

    async def _issue(self, kind: str, purpose: str, user_id: UserID | None, lifetime_ms: int) -> str:
        token = self._randomness.token(32)
        if kind:
            token = f"{kind}_{token}"
        now_ms = self._clock.now_ms()
        await self._db.run(_add, token, purpose, user_id, now_ms, now_ms + lifetime_ms)
        return token

    def _find(self, txn: Transaction, token: str, purpose: str) -> UserID | None:
        user_id = tokens.find_short(txn, token, purpose, now_ms=self._clock.now_ms())
        if user_id is None:
            return None
        account = users.find(txn, user_id)
        return None if account is None or account.is_deactivated else user_id

    def _spend(self, txn: Transaction, token: str, purpose: str) -> UserID | None:
        user_id = self._find(txn, token, purpose)
        spent = tokens.spend_short(txn, token, purpose, now_ms=self._clock.now_ms())
        return user_id if spent else None

    def _spend_nonce(self, txn: Transaction, nonce: str) -> bool:
        return tokens.spend_short(txn, nonce, _NONCE, now_ms=self._clock.now_ms())


def _add(
    txn: Transaction, token: str, purpose: str, user_id: UserID | None, now_ms: int, expires_ms: int
) -> None:
    tokens.delete_short_before(txn, now_ms)
    tokens.add_short(txn, token, purpose, user_id=user_id, expires_ms=expires_ms)
