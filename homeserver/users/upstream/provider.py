"""One upstream provider: where it is, how its users are sent there, and what it says of them when they come back.

What it says is believed if its own keys signed it, for us, for this login, and now.
Spec: https://openid.net/specs/openid-connect-core-1_0.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import jwt

from config.identity import OidcProvider
from homeserver.errors import MatrixError, RemoteError
from homeserver.http.client import OutboundHttp, json_of
from homeserver.runtime.clock import Clock

METADATA_MS = 3600 * 1000
# Keys are asked for again if a token names one that is not known; not more often than this.
KEYS_MS = 60 * 1000
_LEEWAY_S = 60
_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


class UpstreamFailed(MatrixError):
    """The provider did not say who somebody is."""

    status = 502
    errcode = "M_UNKNOWN"


class UpstreamProvider:
    """Speaks to a provider. `redirect_uri` is where its users come back to."""

    def __init__(self, config: OidcProvider, http: OutboundHttp, clock: Clock, *, redirect_uri: str) -> None:
        self.config = config
        self._http = http
        self._clock = clock
        self._redirect_uri = redirect_uri
        self._metadata: tuple[int, Mapping[str, Any]] | None = None
        self._keys: tuple[int, jwt.PyJWKSet] | None = None

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where to send somebody who wants to log in.

        Raises:
            UpstreamFailed: the provider does not say.
        """
        metadata = await self._load_metadata()
        asked = {
            **self.config.additional_authorization_parameters,
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self.config.scopes),
            "state": state,
            "nonce": nonce,
        }
        if self._uses_pkce(metadata):
            digest = hashlib.sha256(verifier.encode()).digest()
            asked["code_challenge"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            asked["code_challenge_method"] = "S256"
        url = _url(metadata, "authorization_endpoint", insecure=self.config.skip_verification)
        return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"

    async def claims(self, *, code: str, nonce: str, verifier: str) -> Mapping[str, Any]:
        """What the provider says of whoever came back with this code.

        Raises:
            UpstreamFailed: nothing, or nothing that can be believed.
        """
        metadata = await self._load_metadata()
        try:
            tokens = await self._exchange(metadata, code, verifier)
            claims: dict[str, Any] = {}
            if "openid" in self.config.scopes:
                claims = dict(await self._verified(metadata, tokens.get("id_token"), nonce))
            if self.config.user_profile_method == "userinfo_endpoint" or not claims:
                said = await self._userinfo(metadata, tokens.get("access_token"))
                if claims and said.get("sub") != claims.get("sub"):
                    raise UpstreamFailed("the provider speaks of two users")
                claims |= said
        except RemoteError as error:
            raise UpstreamFailed(f"the provider did not answer well: {error}") from error
        return claims

    async def _exchange(self, metadata: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        config = self.config
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if self._uses_pkce(metadata):
            fields["code_verifier"] = verifier
        if config.client_auth_method == "client_secret_basic":
            pair = f"{quote(config.client_id, safe='')}:{quote(config.client_secret or '', safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields["client_id"] = config.client_id
            if config.client_auth_method == "client_secret_post":
                fields["client_secret"] = config.client_secret or ""
        url = _url(metadata, "token_endpoint", insecure=config.skip_verification)
        answer = await self._http.request("POST", url, headers=headers, body=urlencode(fields).encode())
        return _object(json_of(answer, url))

    async def _userinfo(self, metadata: Mapping[str, Any], access_token: object) -> Mapping[str, Any]:
        url = _url(metadata, "userinfo_endpoint", insecure=self.config.skip_verification)
        return _object(await self._http.get_json(url, headers={"Authorization": f"Bearer {access_token}"}))

    async def _verified(self, metadata: Mapping[str, Any], token: object, nonce: str) -> Mapping[str, Any]:
        if not isinstance(token, str):
            raise UpstreamFailed("the provider gave no ID token")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _ALGORITHMS:
                raise UpstreamFailed(f"the ID token is signed with {header.get('alg')!r}")
            key = await self._key(metadata, header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                issuer=self.config.issuer,
                audience=self.config.client_id,
                # The library asks the system what time it is; this server has a clock of its own.
                options={
                    "require": ["iss", "aud", "sub", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise UpstreamFailed("the ID token is not valid") from None
        expires, now_s = claims["exp"], self._clock.now_ms() / 1000
        if not isinstance(expires, int | float) or expires <= now_s - _LEEWAY_S:
            raise UpstreamFailed("the ID token has expired")
        if claims.get("nonce") != nonce:
            raise UpstreamFailed("the ID token is for another login")
        return claims

    async def _key(self, metadata: Mapping[str, Any], key_id: object) -> jwt.PyJWK:
        now_ms = self._clock.now_ms()
        found = None if self._keys is None else _find_key(self._keys[1], key_id)
        if found is None and (self._keys is None or now_ms - self._keys[0] >= KEYS_MS):
            url = _url(metadata, "jwks_uri", insecure=self.config.skip_verification)
            self._keys = (now_ms, jwt.PyJWKSet.from_json(json.dumps(await self._http.get_json(url))))
            found = _find_key(self._keys[1], key_id)
        if found is None:
            raise UpstreamFailed("the ID token is signed with a key that is not the provider's")
        return found

    def _uses_pkce(self, metadata: Mapping[str, Any]) -> bool:
        if self.config.pkce_method != "auto":
            return self.config.pkce_method == "always"
        methods = metadata.get("code_challenge_methods_supported")
        return isinstance(methods, list) and "S256" in methods

    async def _load_metadata(self) -> Mapping[str, Any]:
        now_ms = self._clock.now_ms()
        if self._metadata is None or now_ms - self._metadata[0] >= METADATA_MS:
            self._metadata = (now_ms, await self._find_metadata())
        return self._metadata[1]

    async def _find_metadata(self) -> Mapping[str, Any]:
        config = self.config
        configured = {
            "authorization_endpoint": config.authorization_endpoint,
            "token_endpoint": config.token_endpoint,
            "userinfo_endpoint": config.userinfo_endpoint,
            "jwks_uri": config.jwks_uri,
        }
        given = {name: value for name, value in configured.items() if value is not None}
        if not config.discover:
            return given
        try:
            found = _object(
                await self._http.get_json(f"{config.issuer.rstrip('/')}/.well-known/openid-configuration")
            )
        except RemoteError as error:
            raise UpstreamFailed(f"{config.idp_name} cannot be reached") from error
        if found.get("issuer") != config.issuer:
            raise UpstreamFailed(f"{config.idp_name} says that it is somebody else")
        return {**found, **given}


def _url(metadata: Mapping[str, Any], name: str, *, insecure: bool) -> str:
    url = metadata.get(name)
    if not isinstance(url, str) or not url.startswith(("https://", "http://") if insecure else "https://"):
        raise UpstreamFailed(f"the provider has no {name} to go to")
    return url


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UpstreamFailed("the provider's answer is no object")
    return value


def _find_key(keys: jwt.PyJWKSet, key_id: object) -> jwt.PyJWK | None:
    """The key of this ID; the only one, if the token names none."""
    usable = [key for key in keys.keys if key.public_key_use in (None, "sig")]
    if key_id is None:
        return usable[0] if len(usable) == 1 else None
    return next((key for key in usable if key.key_id == key_id), None)
