"""The token endpoint's work: codes and refresh tokens become sessions on devices, and sessions end.

Spec: https://spec.matrix.org/v1.19/client-server-api/#grant-types
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from homeserver.errors import MatrixError, UnknownToken
from homeserver.http.requester import Requester
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.users.accounts import check_may_log_in
from homeserver.users.devices import Devices
from homeserver.users.oauth.clients import Clients
from homeserver.users.oauth.device_grant import INTERVAL_MS
from homeserver.users.oauth.errors import OAuthError
from homeserver.users.oauth.metadata import (
    AUTHORIZATION_CODE,
    DEVICE_CODE,
    REFRESH_TOKEN,
    ClientMetadata,
)
from homeserver.users.oauth.scopes import parse_scope
from homeserver.users.oauth.stage import OAUTH, UNSTABLE_OAUTH
from homeserver.users.sessions import NewSession, Session, Sessions
from storage import oauth, tokens, users
from storage.database import Database
from storage.oauth import REFUSED, UNDECIDED
from storage.transaction import Transaction

_is_verifier = re.compile(r"[A-Za-z0-9._~-]{43,128}").fullmatch
_MAX_DEVICE_NAME = 100

_Outcome = tuple[Session, str] | OAuthError


class OAuthTokens:
    """Exchanges grants for tokens, and revokes tokens."""

    def __init__(
        self, db: Database, clock: Clock, sessions: Sessions, devices: Devices, clients: Clients
    ) -> None:
        self._db = db
        self._clock = clock
        self._sessions = sessions
        self._devices = devices
        self._clients = clients

    async def exchange(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The answer to a token request.

        Raises:
            OAuthError: there is nothing to be had for it.
        """
        grant = given.get("grant_type")
        client_id = given.get("client_id", "")
        client = await self._clients.load(client_id)
        outcome: _Outcome
        if grant == AUTHORIZATION_CODE:
            outcome = await self._db.run(partial(self._redeem_code, given=given, client=client), client_id)
        elif grant == DEVICE_CODE:
            code = _required(given, "device_code")
            outcome = await self._db.run(self._redeem_device_code, code, client_id, client)
        elif grant == REFRESH_TOKEN:
            token = _required(given, "refresh_token")
            outcome = await self._db.run(self._refresh, token, client_id)
        else:
            raise OAuthError("unsupported_grant_type", "unknown grant_type")
        if isinstance(outcome, OAuthError):
            raise outcome
        session, scope = outcome
        assert session.expires_in_ms is not None
        return {
            "access_token": session.access_token,
            "token_type": "Bearer",
            "expires_in": session.expires_in_ms // 1000,
            "refresh_token": session.refresh_token,
            "scope": scope,
        }

    async def revoke(self, token: str) -> None:
        """End the session of an access or refresh token, and with it its device.

        Whoever holds a token may end it: so can those who find it where it should not be.
        """
        await self._db.run(self._revoke, token)

    @property
    def stages(self) -> list[str]:
        """The stages by which such sessions confirm what needs it."""
        return [OAUTH, UNSTABLE_OAUTH]

    async def is_oauth(self, who: Requester) -> bool:
        """Whether a session began here."""
        return who.token_id is not None and await self._db.read(oauth.is_oauth_token, who.token_id)

    def _redeem_code(
        self, txn: Transaction, client_id: str, given: Mapping[str, str], client: Any
    ) -> _Outcome:
        code = _required(given, "code")
        found = oauth.find_code(txn, code)
        if found is None or found.client_id != client_id or found.expires_ms <= self._clock.now_ms():
            return _invalid("the code is unknown or has expired")
        if given.get("redirect_uri", found.redirect_uri) != found.redirect_uri:
            return _invalid("redirect_uri is not that of the authorisation request")
        verifier = given.get("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        if not _is_verifier(verifier) or not hmac.compare_digest(digest, found.code_challenge.encode()):
            return _invalid("code_verifier does not match")
        if found.spent_device is not None:
            # Somebody has this code who should not: neither they nor the first one may go on (RFC 6749 §4.1.2).
            self._devices.delete_in(txn, found.user_id, found.spent_device)
            return _invalid("the code has been used")
        scope = parse_scope(found.scope)
        outcome = self._begin(txn, found.user_id, found.scope, client_id, client)
        oauth.spend_code(txn, code, scope.device_id)
        return outcome

    def _redeem_device_code(
        self, txn: Transaction, code: str, client_id: str, client: ClientMetadata
    ) -> _Outcome:
        found = oauth.find_device_code(txn, code)
        now_ms = self._clock.now_ms()
        if found is None or found.client_id != client_id:
            return _invalid("unknown device code")
        if found.expires_ms <= now_ms:
            return OAuthError("expired_token", "the code has expired")
        if found.decision == UNDECIDED:
            oauth.poll(txn, code, now_ms)
            if now_ms - found.polled_ms < INTERVAL_MS:
                return OAuthError("slow_down", "wait longer before asking again")
            return OAuthError("authorization_pending", "the user has not decided yet")
        oauth.delete_device_code(txn, code)
        if found.decision == REFUSED or found.user_id is None:
            return OAuthError("access_denied", "the user has refused")
        return self._begin(txn, found.user_id, found.scope, client_id, client)

    def _begin(
        self, txn: Transaction, user_id: UserID, scope: str, client_id: str, client: ClientMetadata
    ) -> _Outcome:
        account = users.find(txn, user_id)
        if account is None:
            return _invalid("the account is gone")
        try:
            check_may_log_in(account)
        except MatrixError as error:
            return _invalid(error.error)
        device_id = parse_scope(scope).device_id
        wanted = NewSession(device_id, client.name[:_MAX_DEVICE_NAME], wants_refresh=True, scope=scope)
        session = self._sessions.begin_in(txn, user_id, wanted)
        oauth.add_session(txn, user_id, device_id, client_id)
        return session, scope

    def _refresh(self, txn: Transaction, token: str, client_id: str) -> _Outcome:
        old = tokens.find_refresh(txn, tokens.hash_token(token))
        if old is None or oauth.find_session(txn, old.user_id, old.device_id) != client_id:
            return _invalid("unknown refresh token")
        try:
            return self._sessions.refresh_in(txn, token), old.scope or ""
        except UnknownToken as error:
            return _invalid(error.error)

    def _revoke(self, txn: Transaction, token: str) -> None:
        token_hash = tokens.hash_token(token)
        access, refresh = tokens.find_access(txn, token_hash), tokens.find_refresh(txn, token_hash)
        device_id: DeviceID | None
        if access is not None:
            user_id, device_id = access.user_id, access.device_id
        elif refresh is not None:
            user_id, device_id = refresh.user_id, refresh.device_id
        else:
            return
        if device_id is None:
            tokens.delete_access(txn, tokens.token_id_of(token_hash))
        else:
            self._devices.delete_in(txn, user_id, device_id)


def forget_device(txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
    """A device goes: so does what is known of its client."""
    oauth.delete_session(txn, user_id, device_id)


def forget_account(txn: Transaction, user_id: UserID) -> None:
    """An account ends: so do its grants, and its sessions in browsers."""
    oauth.delete_of_user(txn, user_id)


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name)
    if not value:
        raise OAuthError("invalid_request", f"{name} is missing")
    return value


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_grant", description)
