"""People who are logged in in their browser: to grant access, and to look after their account.

A browser has one secret cookie from its first page on, and another once somebody logs in; what its forms carry is made
of it, so that no other site can submit them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from homeserver.errors import Forbidden, MatrixError
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.accounts import check_may_log_in
from homeserver.users.login import Credentials, LoginMethod
from storage import oauth, users
from storage.database import Database
from storage.transaction import Transaction
from storage.users import Account

LIFETIME_MS = 12 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser: its secret, and who is logged in in it. `is_new` if it does not know its secret yet."""

    token: str
    user_id: UserID | None = None
    is_new: bool = False

    @property
    def form_token(self) -> str:
        """What forms carry that this browser was given."""
        digest = hashlib.sha256(b"form\0" + self.token.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def check_form(self, form_token: str | None) -> None:
        """Refuse a form that was given to another browser, or to nobody.

        Raises:
            Forbidden: it was.
        """
        given = (form_token or "").encode("utf-8", "replace")
        if self.is_new or not hmac.compare_digest(given, self.form_token.encode()):
            raise Forbidden("this form has expired; go back and try again")


class Browsers:
    """Logs people in and out in their browsers."""

    def __init__(self, db: Database, clock: Clock, randomness: Randomness, method: LoginMethod) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._method = method

    async def find(self, token: str | None) -> Browser:
        """The browser that has sent a cookie, or none. Whose account is not usable is not logged in."""
        if token is None or not 20 <= len(token) <= 100 or not token.isascii():
            return Browser(self._randomness.token(32), is_new=True)
        return Browser(token, await self._db.read(self._find, token))

    async def log_in(self, browser: Browser, user: str, password: str) -> Browser:
        """Log somebody in, who is known by another secret from now on.

        Raises:
            MatrixError: name or password are wrong, or the account may not be used.
        """
        identifier = {"type": "m.id.user", "user": user}
        if "@" in user[1:]:
            identifier = {"type": "m.id.thirdparty", "medium": "email", "address": user}
        user_id = await self._method.authenticate(Credentials(identifier, password))
        return await self.admit(browser, user_id)

    async def admit(self, browser: Browser, user_id: UserID) -> Browser:
        """Log in somebody who has proved who they are.

        Raises:
            UserDeactivated, UserLocked, Forbidden: the account may not be used.
        """
        token = self._randomness.token(32)
        await self._db.run(self._replace, browser.token, token, user_id)
        return Browser(token, user_id)

    async def log_out(self, browser: Browser) -> Browser:
        """Log out in this browser only."""
        await self._db.run(oauth.delete_browser, browser.token)
        return Browser(self._randomness.token(32), is_new=True)

    def _find(self, txn: Transaction, token: str) -> UserID | None:
        found = oauth.find_browser(txn, token, now_ms=self._clock.now_ms())
        if found is None:
            return None
        account = users.find(txn, found[0])
        if account is None or _mark(account) != found[1]:
            return None
        try:
            check_may_log_in(account)
        except MatrixError:
            return None
        return account.user_id

    def _replace(self, txn: Transaction, old: str, new: str, user_id: UserID) -> None:
        account = users.find(txn, user_id)
        if account is None:
            raise Forbidden("invalid username or password")
        check_may_log_in(account)
        now_ms = self._clock.now_ms()
        oauth.delete_expired(txn, now_ms)
        oauth.delete_browser(txn, old)
        oauth.add_browser(txn, new, user_id, password_mark=_mark(account), expires_ms=now_ms + LIFETIME_MS)


def _mark(account: Account) -> bytes:
    """What changes with the password, and tells nothing of it."""
    return hashlib.sha256(f"password\0{account.password_hash}".encode()).digest()[:16]
