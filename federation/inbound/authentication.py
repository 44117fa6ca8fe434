"""Who makes a federation request: the server whose key has signed it.

Spec: https://spec.matrix.org/v1.19/server-server-api/#request-authentication
"""

from __future__ import annotations

from federation.outbound.backoff import Backoff
from federation.outbound.keyring import Keyring
from federation.outbound.policy import FederationPolicy
from federation.wire.x_matrix import Credentials, parse_headers, verify_request
from homeserver.errors import Forbidden, InvalidSignature, Unauthorized
from homeserver.events.canonical_json import decode_json, encode_canonical
from homeserver.http.endpoint import EndpointDeclaration
from homeserver.http.request import Request
from homeserver.ids import ServerName

MAX_SIGNATURES = 5
"""Signatures that one request may bear: each may cost us a request for a key."""


class ServerAuthenticator:
    """Authenticates requests of endpoints with `Auth.FEDERATION`."""

    def __init__(
        self, keyring: Keyring, policy: FederationPolicy, backoff: Backoff, *, server_name: ServerName
    ) -> None:
        self._keyring = keyring
        self._policy = policy
        self._backoff = backoff
        self._server_name = server_name

    async def authenticate(self, request: Request, _declaration: EndpointDeclaration) -> ServerName:
        """The server that makes the request.

        Raises:
            Unauthorized: it is not signed, not for us, or not by the keys of who is said to have signed.
            Forbidden: the operator does not want to hear of this server.
        """
        credentials = parse_headers(request.header("authorization") or "")
        if len(credentials) > MAX_SIGNATURES:
            raise Unauthorized(f"the request bears more than {MAX_SIGNATURES} signatures")
        origin = credentials[0].origin
        for one in credentials:
            self._check_names(one, origin)
        if not self._policy.permits(origin):
            raise Forbidden(f"{origin} is not a server that we speak with")
        content = None
        if request.body:
            content = encode_canonical(decode_json(request.body), strict=False)
        uri = f"{request.path}?{request.query_string}" if request.query_string else request.path
        # All of them must check out.
        for one in credentials:
            await self._verify(one, request.method, uri, content)
        # Whoever speaks is there to be spoken to.
        self._backoff.heard_from(origin)
        request.user = origin
        return origin

    def _check_names(self, credentials: Credentials, origin: ServerName) -> None:
        if credentials.origin != origin:
            raise Unauthorized("the signatures of the request are not of one server")
        # COMPAT(servers before v1.3): they do not say for whom the request is.
        if credentials.destination is not None and credentials.destination != self._server_name:
            raise Unauthorized(f"the request is for {credentials.destination}, not for {self._server_name}")

    async def _verify(self, credentials: Credentials, method: str, uri: str, content: bytes | None) -> None:
        try:
            key = await self._keyring.request_key(credentials.origin, credentials.key_id)
            verify_request(credentials, method=method, uri=uri, content=content, public_key=key)
        except InvalidSignature as error:
            raise Unauthorized(str(error)) from error
