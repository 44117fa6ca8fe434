"""An OpenID Connect provider in memory: it logs everybody in at once, as whom the test says."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from tests.harness.certificates import Authority, over_tls
from tests.harness.server import Server
from tests.unit.http.outside import Outside

ISSUER = "https://op.test/realm"
CLIENT_ID, CLIENT_SECRET = "hearth", "the secret of hearth"


class Upstream:
    """Listens at `op.test`. `claims` is what it says of whoever comes, `spoils` what it does to an ID token then."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "4711", "preferred_username": "Álice", "name": "Alice A."}
        self.userinfo: dict[str, Any] = {}
        self.header: dict[str, Any] = {"kid": "1"}
        self.key: Any = ec.generate_private_key(ec.SECP256R1())
        self.signing_key: Any = self.key
        self.algorithm = "ES256"
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "jwks_uri": f"{ISSUER}/keys",
            "code_challenge_methods_supported": ["S256"],
        }
        self._codes: dict[str, dict[str, str]] = {}
        self._authority = Authority()
        self._server: Server | None = None

    def config(self, directory: Path, **changes: Any) -> dict[str, Any]:
        """Settings of a server whose users may log in here."""
        mapping = changes.pop("mapping", {"localpart_template": "{{ user.preferred_username }}"})
        provider = {
            "idp_id": "op",
            "idp_name": "The <Op>",
            "issuer": ISSUER,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scopes": ["openid", "profile"],
            "user_mapping_provider": {"config": mapping},
            **changes,
        }
        return {"oidc_providers": [provider], "federation_custom_ca_list": [str(directory / "ca.pem")]}

    def listens(self, server: Server, outside: Outside, directory: Path) -> None:
        """Be reachable for a server that is about to start."""
        self._server = server
        self._authority.write(directory / "ca.pem")
        # The operator's own provider may well stand on the inside.
        outside.names["op.test"] = ["10.0.0.5"]
        inner = HttpServer(Router([self], {}, Unlimited()), server.clock, write_access=None)
        context = self._authority.context("op.test")
        outside.servers["10.0.0.5", 443] = over_tls(server.reactor, context, inner, [])
        server.network = outside

    def logs_in(self, url: str) -> str:
        """What a browser does that is sent here: it comes back to the URL that this returns."""
        parts = urlsplit(url)
        assert url.startswith(f"{ISSUER}/authorize?")
        asked = dict(parse_qsl(parts.query))
        assert asked["client_id"] == CLIENT_ID
        assert (asked["response_type"], asked["scope"]) == ("code", "openid profile")
        code = f"code{len(self._codes)}"
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    @endpoint("GET", "/realm/.well-known/openid-configuration", auth=Auth.NONE)
    async def discovery(self) -> Response:
        return Response(200, self.metadata)

    @endpoint("GET", "/realm/keys", auth=Auth.NONE)
    async def keys(self) -> Response:
        shown = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return Response(200, {"keys": [{**shown, "kid": "1", "use": "sig"}]})

    @endpoint("POST", "/realm/token", auth=Auth.NONE)
    async def token(self, request: Request) -> Response:
        given = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        expected = base64.b64encode(f"{CLIENT_ID}:the%20secret%20of%20hearth".encode()).decode()
        assert request.header("Authorization") == f"Basic {expected}"
        asked = self._codes.pop(given["code"], None)
        if asked is None or given["redirect_uri"] != asked["redirect_uri"]:
            return Response(400, {"error": "invalid_grant"})
        digest = hashlib.sha256(given["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
        assert self._server is not None
        now_s = self._server.clock.now_ms() // 1000
        claims = {
            "iss": ISSUER,
            "aud": CLIENT_ID,
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked["nonce"],
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(claims, self.signing_key, algorithm=self.algorithm, headers=self.header)
        return Response(200, {"access_token": "at", "token_type": "Bearer", "id_token": token})

    @endpoint("GET", "/realm/userinfo", auth=Auth.NONE)
    async def tell_userinfo(self, request: Request) -> Response:
        assert request.header("Authorization") == "Bearer at"
        return Response(200, json.dumps(self.userinfo).encode(), {"Content-Type": "application/json"})
