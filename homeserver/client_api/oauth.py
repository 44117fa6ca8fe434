"""OAuth 2.0 as clients speak it: metadata, registration, tokens, revocation, and devices without a browser.

Spec: https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api
"""

from __future__ import annotations

from typing import Any

from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.params import parse_query
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.users.oauth.authorization import CHALLENGE_METHOD, RESPONSE_MODES
from homeserver.users.oauth.clients import Clients
from homeserver.users.oauth.device_grant import INTERVAL_MS, LIFETIME_MS, DeviceGrants
from homeserver.users.oauth.errors import OAuthError
from homeserver.users.oauth.metadata import DEVICE_CODE, GRANTS
from homeserver.users.oauth.tokens import OAuthTokens

MAX_BODY = 64 * 1024

ACTIONS = (
    "org.matrix.profile",
    "org.matrix.devices_list",
    "org.matrix.device_view",
    "org.matrix.device_delete",
    "org.matrix.account_deactivate",
    "org.matrix.cross_signing_reset",
)
"""What the account page can be opened for."""


def parameters(raw: str) -> dict[str, str]:
    """The parameters of an OAuth request; none of them may be there twice (RFC 6749 §3.1).

    Raises:
        OAuthError: one is.
    """
    pairs = parse_query(raw)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise OAuthError("invalid_request", "a parameter is there twice")
    return found


def form(request: Request) -> dict[str, str]:
    """The parameters that a form holds."""
    return parameters(request.body.decode("utf-8", "replace"))


class OAuthMetadataEndpoints:
    """Says where everything is."""

    def __init__(self, base_url: str, *, device_grant: bool, registration: bool) -> None:
        at = f"{base_url}/oauth2"
        self._metadata: dict[str, Any] = {
            "issuer": f"{base_url}/",
            "authorization_endpoint": f"{at}/authorize",
            "token_endpoint": f"{at}/token",
            "revocation_endpoint": f"{at}/revoke",
            "registration_endpoint": f"{at}/register",
            "response_types_supported": ["code"],
            "grant_types_supported": [one for one in GRANTS if device_grant or one != DEVICE_CODE],
            "response_modes_supported": list(RESPONSE_MODES),
            "code_challenge_methods_supported": [CHALLENGE_METHOD],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "account_management_uri": f"{at}/account",
            "account_management_actions_supported": list(ACTIONS),
        }
        if registration:
            self._metadata["prompt_values_supported"] = ["create"]
        if device_grant:
            self._metadata["device_authorization_endpoint"] = f"{at}/device"

    @endpoint(
        "GET",
        "/_matrix/client/v1/auth_metadata",
        auth=Auth.NONE,
        aliases=("/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",),
    )
    def get_auth_metadata(self) -> dict[str, Any]:
        """The metadata of the authorisation server.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1auth_metadata
        """
        return self._metadata

    @endpoint("GET", "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer", auth=Auth.NONE)
    def get_auth_issuer(self) -> dict[str, Any]:
        """The issuer alone: what MSC2965 was before."""
        return {"issuer": self._metadata["issuer"]}

    @endpoint("GET", "/.well-known/openid-configuration", auth=Auth.NONE)
    def get_openid_configuration(self) -> dict[str, Any]:
        """COMPAT(clients before v1.15): the same metadata, where they look for an OpenID Connect provider's."""
        return self._metadata


class OAuthEndpoints:
    """Registration, tokens and codes."""

    def __init__(
        self,
        clients: Clients,
        tokens: OAuthTokens,
        devices: DeviceGrants,
        base_url: str,
        *,
        device_grant: bool,
        may_register: bool,
    ) -> None:
        self._clients = clients
        self._tokens = tokens
        self._devices = devices
        self._link = f"{base_url}/oauth2/link"
        self._has_device_grant = device_grant
        self._may_register = may_register

    @endpoint(
        "POST",
        "/oauth2/register",
        auth=Auth.NONE,
        rate_limit=RateLimit("oauth_registration", by_address=True),
        max_body=MAX_BODY,
    )
    async def register_client(self, body: dict[str, Any]) -> Response:
        """Register a client.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#dynamic-client-registration-flow
        """
        if not self._may_register:
            raise OAuthError("access_denied", "clients may not register themselves here", status=403)
        client_id, metadata = await self._clients.register(body)
        return Response(201, {"client_id": client_id, **metadata.answer()})

    @endpoint(
        "POST",
        "/oauth2/token",
        auth=Auth.NONE,
        rate_limit=RateLimit("oauth_token", by_address=True),
        max_body=MAX_BODY,
    )
    async def exchange_token(self, request: Request) -> Response:
        """Exchange a code or a refresh token for tokens.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#login-flows
        """
        answer = await self._tokens.exchange(form(request))
        return Response(200, answer, {"Cache-Control": "no-store", "Pragma": "no-cache"})

    @endpoint(
        "POST",
        "/oauth2/revoke",
        auth=Auth.NONE,
        rate_limit=RateLimit("oauth_token", by_address=True),
        max_body=MAX_BODY,
    )
    async def revoke_token(self, request: Request) -> Response:
        """End a session.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#token-revocation
        """
        given = form(request)
        token = given.get("token")
        if not token:
            raise OAuthError("invalid_request", "token is missing")
        if given.get("token_type_hint", "access_token") not in ("access_token", "refresh_token"):
            raise OAuthError(
                "unsupported_token_type", "token_type_hint must be access_token or refresh_token"
            )
        await self._tokens.revoke(token)
        return Response(200)

    @endpoint(
        "POST",
        "/oauth2/device",
        auth=Auth.NONE,
        rate_limit=RateLimit("oauth_device", by_address=True),
        max_body=MAX_BODY,
    )
    async def authorize_device(self, request: Request) -> Response:
        """Codes for a device without a browser.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-flow
        """
        given = form(request)
        if not self._has_device_grant:
            raise OAuthError("unauthorized_client", "this grant is switched off")
        issued = await self._devices.begin(given.get("client_id", ""), given.get("scope", ""))
        answer = {
            "device_code": issued.device_code,
            "user_code": issued.user_code,
            "verification_uri": self._link,
            "verification_uri_complete": f"{self._link}?user_code={issued.user_code}",
            "expires_in": LIFETIME_MS // 1000,
            "interval": INTERVAL_MS // 1000,
        }
        return Response(200, answer)
