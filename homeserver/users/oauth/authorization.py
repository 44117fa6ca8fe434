"""The authorisation code grant: what a client asks for through the user's browser, and the code it gets there.

Spec: https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-grant
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.oauth.clients import Clients
from homeserver.users.oauth.errors import OAuthError
from homeserver.users.oauth.metadata import AUTHORIZATION_CODE, ClientMetadata
from homeserver.users.oauth.scopes import Scope, parse_scope
from storage import oauth
from storage.database import Database
from storage.oauth import Code
from storage.transaction import Transaction

CODE_LIFETIME_MS = 60_000
RESPONSE_MODES = ("query", "fragment")
CHALLENGE_METHOD = "S256"

_is_challenge = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
_MAX_STATE = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """Where a browser is sent with the answer. Nothing is sent anywhere before this is known to be the client's."""

    client_id: str
    client: ClientMetadata
    redirect_uri: str
    response_mode: str
    state: str | None

    def answer(self, **parameters: str) -> str:
        """The URL with an answer."""
        if self.state is not None:
            parameters["state"] = self.state
        encoded = urlencode(parameters)
        if self.response_mode == "fragment":
            return f"{self.redirect_uri}#{encoded}"
        separator = "&" if urlsplit(self.redirect_uri).query else "?"
        return f"{self.redirect_uri}{separator}{encoded}"

    def refusal(self, error: OAuthError) -> str:
        """The URL with a refusal."""
        return self.answer(error=error.code, error_description=error.error)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the client wants the user to grant."""

    scope: Scope
    code_challenge: str
    wants_registration: bool = False


class Authorizations:
    """Reads authorisation requests, and grants them."""

    def __init__(self, db: Database, clock: Clock, randomness: Randomness, clients: Clients) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._clients = clients

    async def find_target(self, parameters: Mapping[str, str]) -> Target:
        """Where the answer to a request goes.

        Raises:
            OAuthError: nowhere; the user is told instead.
        """
        client_id = parameters.get("client_id", "")
        client = await self._clients.load(client_id)
        uri = parameters.get("redirect_uri")
        if uri is None and len(client.redirect_uris) == 1:
            uri = client.redirect_uris[0]
        if uri is None or not client.allows_redirect(uri):
            raise OAuthError("invalid_request", "redirect_uri is not one that the client has registered")
        mode = parameters.get("response_mode", "query")
        state = parameters.get("state")
        if mode not in RESPONSE_MODES:
            raise OAuthError("invalid_request", "response_mode must be query or fragment")
        if state is not None and len(state) > _MAX_STATE:
            raise OAuthError("invalid_request", "state is too long")
        return Target(client_id, client, uri, mode, state)

    def check(self, target: Target, parameters: Mapping[str, str]) -> Wanted:
        """What a request asks for.

        Raises:
            OAuthError: it asks for something else than this server grants; the client is told.
        """
        if parameters.get("response_type") != "code":
            raise OAuthError("unsupported_response_type", "response_type must be code")
        if AUTHORIZATION_CODE not in target.client.grant_types:
            raise OAuthError("unauthorized_client", "the client has not registered this grant")
        challenge = parameters.get("code_challenge", "")
        if parameters.get("code_challenge_method") != CHALLENGE_METHOD or not _is_challenge(challenge):
            raise OAuthError("invalid_request", "code_challenge of method S256 is required")
        prompts = parameters.get("prompt", "").split()
        if "none" in prompts:
            raise OAuthError("interaction_required", "the user is always asked")
        return Wanted(parse_scope(parameters.get("scope", "")), challenge, "create" in prompts)

    async def grant(self, target: Target, wanted: Wanted, user_id: UserID) -> str:
        """The URL to which the user's browser takes the code."""
        code = f"hac_{self._randomness.token(32)}"
        what = Code(
            target.client_id,
            user_id,
            target.redirect_uri,
            wanted.scope.text,
            wanted.code_challenge,
            self._clock.now_ms() + CODE_LIFETIME_MS,
        )
        await self._db.run(self._add, code, what)
        return target.answer(code=code)

    def _add(self, txn: Transaction, code: str, what: Code) -> None:
        oauth.delete_expired(txn, self._clock.now_ms())
        oauth.add_code(txn, code, what)
