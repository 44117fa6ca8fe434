"""Attempts at a password: counted for each account, wherever they are made, and failed ones counted again."""

from __future__ import annotations

from homeserver.errors import Forbidden, LimitExceeded
from homeserver.http.rate_limit import RateLimiter
from homeserver.runtime.clock import Clock
from homeserver.users.accounts import Accounts
from storage.users import Account

ACCOUNT_LIMIT = "login_account"
FAILURE_LIMIT = "login_failed_attempts"

_MAX_KEY = 300


class PasswordAttempts:
    """Lets people try, but not for ever."""

    def __init__(self, accounts: Accounts, limiter: RateLimiter, clock: Clock) -> None:
        self._accounts = accounts
        self._limiter = limiter
        self._clock = clock
        # Who has failed too often may not even try until then: a right guess would look just as refused.
        self._barred_until_ms: dict[str, int] = {}

    async def check(self, account: Account | None, password: str, *, name: str) -> Account:
        """The account, if the password opens it; `name` is what to count by where there is none.

        Raises:
            Forbidden: the password is wrong, or there is no account.
            LimitExceeded: there were too many attempts.
        """
        key = name[:_MAX_KEY] if account is None else account.user_id
        until_ms, now_ms = self._barred_until_ms.get(key, 0), self._clock.now_ms()
        if until_ms > now_ms:
            raise LimitExceeded("too many failed attempts", retry_after_ms=until_ms - now_ms)
        await self._count(ACCOUNT_LIMIT, key)
        try:
            return await self._accounts.check_password(account, password)
        except Forbidden:
            await self._count_failure(key)
            raise

    async def _count_failure(self, key: str) -> None:
        try:
            await self._count(FAILURE_LIMIT, key)
        except LimitExceeded as error:
            now_ms = self._clock.now_ms()
            self._barred_until_ms = {k: until for k, until in self._barred_until_ms.items() if until > now_ms}
            self._barred_until_ms[key] = now_ms + error.retry_after_ms

    async def _count(self, limit: str, key: str) -> None:
        pending = self._limiter.check(limit, key)
        if pending is not None:
            await pending
