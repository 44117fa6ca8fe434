"""From an access token to who asks.

A token that has been seen before costs a hash and a look-up in memory; the database is asked once. What is
remembered is dropped when the session ends or the account changes, in whichever process that happened.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple

from homeserver.errors import Forbidden, InvalidParam, MatrixError, UnknownToken
from homeserver.http.endpoint import EndpointDeclaration
from homeserver.http.params import parse_query
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.ids import DeviceID, UserID, is_user_id
from homeserver.runtime.clock import Clock
from homeserver.users.appservice_identity import AppserviceDirectory, AppserviceIdentity
from homeserver.users.last_seen import LastSeen
from homeserver.users.session_events import SessionEvent, SessionEvents
from homeserver.users.sessions import Sessions
from storage import devices as device_rows
from storage import tokens, users
from storage.database import Database
from storage.tokens import AccessToken
from storage.transaction import Transaction
from storage.users import Account

NOTE_EVERY_MS = 120_000
"""How long a device may stay at one address before it is noted there again."""

_NEVER = 1 << 62


class _Known:
    """A token that has been seen: who it stands for, until when, and when that was last noted where."""

    __slots__ = ("expires_ms", "noted_at_ms", "noted_ip", "requester")

    def __init__(self, requester: Requester, expires_ms: int | None) -> None:
        self.requester = requester
        self.expires_ms = _NEVER if expires_ms is None else expires_ms
        self.noted_at_ms = 0
        self.noted_ip = ""


class UnknownDevice(MatrixError):
    errcode = "M_UNKNOWN_DEVICE"


class _Found(NamedTuple):
    token: AccessToken
    account: Account


class Authenticator:
    """Says who asks: for the router, at every request that has to be somebody's."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        sessions: Sessions,
        events: SessionEvents,
        last_seen: LastSeen,
        appservices: AppserviceDirectory,
        *,
        max_known: int = 100_000,
    ) -> None:
        self._db = db
        self._clock = clock
        self._sessions = sessions
        self._last_seen = last_seen
        self._appservices = appservices
        self._max_known = max_known
        self._known: dict[Any, _Known] = {}
        self._keys_of_user: dict[UserID, set[Any]] = {}
        # Bumped when anything is forgotten: an answer of the database from before must not be remembered.
        self._generation = 0
        events.subscribe(self._session_changed)

    def __call__(
        self, request: Request, declaration: EndpointDeclaration
    ) -> Requester | Awaitable[Requester] | None:
        """Who asks; None if the request has no access token.

        Raises:
            UnknownToken: nobody has, or nobody has any more, such a token.
        """
        token = request.access_token()
        if token is None:
            return None
        key = tokens.hash_token(token)
        known = self._known.get(key)
        if known is None:
            service = self._appservices.find_by_token(token)
            if service is not None:
                return self._asserted(service, request)
            return self._load(key, request)
        now_ms = self._clock.now_ms()
        if now_ms >= known.expires_ms:
            raise UnknownToken("the access token has expired", soft_logout=True)
        if now_ms - known.noted_at_ms > NOTE_EVERY_MS or known.noted_ip != request.client_address:
            self._note(known, request, now_ms)
        return known.requester

    async def appservice(self, request: Request, declaration: EndpointDeclaration) -> Requester | None:
        """Who asks where only application services may.

        Raises:
            Forbidden: the token is a user's.
            UnknownToken: it is nobody's.
        """
        token = request.access_token()
        if token is None:
            return None
        service = self._appservices.find_by_token(token)
        if service is None:
            if await self.requester_of(token) is None:
                raise UnknownToken()
            raise Forbidden("only application services may do this")
        return await self._asserted(service, request)

    async def requester_of(self, token: str) -> Requester | None:
        """Who an access token stands for, outside of any request; None if it is nobody's."""
        found = await self._db.read(self._find, tokens.hash_token(token))
        if found is None or _has_expired(found.token, self._clock.now_ms()):
            return None
        return _requester(found)

    async def _load(self, key: bytes, request: Request) -> Requester:
        generation = self._generation
        found = await self._db.read(self._find, key)
        if found is None:
            raise UnknownToken()
        now_ms = self._clock.now_ms()
        if _has_expired(found.token, now_ms):
            raise UnknownToken("the access token has expired", soft_logout=True)
        if found.token.supersedes is not None:
            await self._db.run(
                self._sessions.revoke_superseded_in, found.token.token_id, found.token.supersedes
            )
            generation = self._generation
        known = _Known(_requester(found), found.token.expires_ms)
        if generation == self._generation:
            self._remember(key, known)
        self._note(known, request, now_ms)
        return known.requester

    def _find(self, txn: Transaction, token_hash: bytes) -> _Found | None:
        token = tokens.find_access(txn, token_hash)
        if token is None:
            return None
        account = users.find(txn, token.user_id)
        if account is None or account.is_deactivated:
            return None
        return _Found(token, account)

    async def _asserted(self, service: AppserviceIdentity, request: Request) -> Requester:
        """The user that an application service says it is.

        Spec: https://spec.matrix.org/v1.19/application-service-api/#identity-assertion
        """
        query = dict(reversed(parse_query(request.query_string)))
        user_id, device_id = (
            query.get("user_id"),
            query.get("device_id", query.get("org.matrix.msc3202.device_id")),
        )
        if user_id is not None and not is_user_id(user_id):
            raise InvalidParam(f"{user_id!r} is not a user ID")
        asserted = service.sender if user_id is None else UserID(user_id)
        key = (service.id, asserted, device_id)
        known = self._known.get(key)
        if known is None:
            if not service.owns(asserted):
                raise Forbidden(f"{asserted} is not a user of this application service")
            generation = self._generation
            account, has_device = await self._db.read(self._find_asserted, asserted, device_id)
            if account is None or account.is_deactivated:
                raise Forbidden(f"the application service has not registered {asserted}")
            if not has_device:
                raise UnknownDevice(f"{asserted} has no device {device_id}")
            known = _Known(
                Requester(
                    asserted,
                    device_id=None if device_id is None else DeviceID(device_id),
                    appservice_id=service.id,
                    is_admin=account.is_admin,
                    is_locked=account.is_locked,
                    is_suspended=account.is_suspended,
                    is_rate_limited=service.is_rate_limited,
                ),
                None,
            )
            if generation == self._generation:
                self._remember(key, known)
        return known.requester

    def _find_asserted(
        self, txn: Transaction, user_id: UserID, device_id: str | None
    ) -> tuple[Account | None, bool]:
        has_device = device_id is None or device_rows.find(txn, user_id, device_id) is not None
        return users.find(txn, user_id), has_device

    def _note(self, known: _Known, request: Request, now_ms: int) -> None:
        known.noted_at_ms = now_ms
        known.noted_ip = request.client_address
        who = known.requester
        if who.device_id is not None:
            self._last_seen.note(
                who.user_id, who.device_id, ip=request.client_address, agent=request.user_agent, now_ms=now_ms
            )

    def _remember(self, key: Any, known: _Known) -> None:
        if len(self._known) >= self._max_known:
            self._forget(next(iter(self._known)))
        self._known[key] = known
        self._keys_of_user.setdefault(known.requester.user_id, set()).add(key)

    def _forget(self, key: Any) -> None:
        known = self._known.pop(key)
        keys = self._keys_of_user[known.requester.user_id]
        keys.discard(key)
        if not keys:
            del self._keys_of_user[known.requester.user_id]

    def _session_changed(self, event: SessionEvent) -> None:
        self._generation += 1
        for key in tuple(self._keys_of_user.get(event.user_id, ())):
            if event.concerns(event.user_id, self._known[key].requester.device_id):
                self._forget(key)


def _has_expired(token: AccessToken, now_ms: int) -> bool:
    return token.expires_ms is not None and now_ms >= token.expires_ms


def _requester(found: _Found) -> Requester:
    token, account = found.token, found.account
    return Requester(
        account.user_id,
        device_id=token.device_id,
        token_id=token.token_id,
        is_guest=account.is_guest,
        is_admin=account.is_admin,
        # An administrator who acts as the user may look into a locked account.
        is_locked=account.is_locked and token.puppeteer is None,
        is_suspended=account.is_suspended,
    )
