"""An identity server in memory: who owns which address, and who is invited until they do."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from homeserver.events.signatures import SigningKey, sign_json
from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.runtime.random import SeededRandomness
from tests.conformance.validator import check_request
from tests.harness.certificates import Authority, over_tls
from tests.harness.server import Server
from tests.unit.http.outside import Outside

NAME = "id.test"
TOKEN = "token of id.test"
_BASE = "/_matrix/identity/v2"


class IdentityServer:
    """Listens at `id.test`. `owners` is whose an address is, `validated` which sessions have proved what."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.validated: dict[str, dict[str, Any]] = {}
        self.invitations: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.fails_with: Response | None = None
        self.key = SigningKey.of("0", SeededRandomness("identity").bytes(32))
        self._authority = Authority()

    def listens(
        self, server: Server, outside: Outside, directory: Path, address: str = "203.1.113.9"
    ) -> None:
        """Be reachable for a server that is about to start, and trusts `directory/ca.pem`."""
        self._authority.write(directory / "ca.pem")
        outside.names[NAME] = [address]
        inner = HttpServer(Router([self], {}, Unlimited()), server.clock, write_access=None)
        context = self._authority.context(NAME)
        outside.servers[address, 443] = over_tls(server.reactor, context, inner, [])
        server.network = outside

    def signs(self, token: str, user_id: str, sender: str) -> dict[str, Any]:
        """What tells a room that the user is who was invited by address."""
        signed: dict[str, Any] = {"mxid": user_id, "sender": sender, "token": token}
        sign_json(signed, NAME, self.key)
        return signed

    def _heard(self, request: Request, method: str, path: str, body: Any = None) -> Response | None:
        self.asked.append(path)
        check_request(method, f"{_BASE}{path}", body)
        if path != "/3pid/unbind":
            assert request.header("Authorization") == f"Bearer {TOKEN}"
        return self.fails_with

    @endpoint("GET", f"{_BASE}/hash_details", auth=Auth.NONE)
    async def hash_details(self, request: Request) -> Response:
        answer = {"lookup_pepper": "pepper", "algorithms": ["none", "sha256"]}
        return self._heard(request, "GET", "/hash_details") or Response(200, answer)

    @endpoint("POST", f"{_BASE}/lookup", auth=Auth.NONE)
    async def lookup(self, request: Request, body: dict[str, Any]) -> Response:
        failure = self._heard(request, "POST", "/lookup", body)
        known = {_hashed(address): user for address, user in self.owners.items()}
        found = {hashed: known[hashed] for hashed in body["addresses"] if hashed in known}
        return failure or Response(200, {"mappings": found})

    @endpoint("POST", f"{_BASE}/store-invite", auth=Auth.NONE)
    async def store_invite(self, request: Request, body: dict[str, Any]) -> Response:
        failure = self._heard(request, "POST", "/store-invite", body)
        if failure is not None:
            return failure
        self.invitations.append(body)
        url = f"https://{NAME}{_BASE}/pubkey/isvalid"
        key = {"public_key": self.key.public_base64, "key_validity_url": url}
        token = f"invitation{len(self.invitations)}"
        return Response(200, {"token": token, "public_keys": [key], "display_name": "b...@e..."})

    @endpoint("GET", f"{_BASE}/3pid/getValidated3pid", auth=Auth.NONE)
    async def get_validated(self, request: Request) -> Response:
        failure = self._heard(request, "GET", "/3pid/getValidated3pid")
        sid = request.query_string.partition("sid=")[2].partition("&")[0]
        if failure is None and sid in self.validated:
            return Response(200, self.validated[sid])
        return failure or Response(404, {"errcode": "M_NO_VALID_SESSION", "error": "no such session"})

    @endpoint("POST", f"{_BASE}/3pid/bind", auth=Auth.NONE)
    async def bind(self, request: Request, body: dict[str, Any]) -> Response:
        failure = self._heard(request, "POST", "/3pid/bind", body)
        if failure is None and body["sid"] in self.validated:
            proved = self.validated[body["sid"]]
            self.owners[f"{proved['address']} {proved['medium']}"] = body["mxid"]
            bound = {"mxid": body["mxid"], "not_before": 0, "not_after": 1, "ts": 0, "signatures": {}}
            return Response(200, {**proved, **bound})
        return failure or Response(404, {"errcode": "M_NO_VALID_SESSION", "error": "no such session"})

    @endpoint("POST", f"{_BASE}/3pid/unbind", auth=Auth.NONE)
    async def unbind(self, request: Request, body: dict[str, Any]) -> Response:
        failure = self._heard(request, "POST", "/3pid/unbind", body)
        assert (request.header("Authorization") or "").startswith("X-Matrix ")
        if failure is None:
            threepid = body["threepid"]
            self.owners.pop(f"{threepid['address']} {threepid['medium']}", None)
        return failure or Response(200, {})


def _hashed(address: str) -> str:
    digest = hashlib.sha256(f"{address} pepper".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
