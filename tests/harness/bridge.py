"""A bridge as a server sees it: an application service that listens on a network in memory, and acts as its users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.ids import UserID
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.user import Session, User
from tests.unit.http.outside import Outside

ADDRESS = "10.0.0.9"


class Bridge:
    """An IRC bridge. `fails` is how many more transactions it refuses, `knows` what it answers when it is asked."""

    def __init__(self, name: str = "irc") -> None:
        self.name = name
        self.as_token = f"as token of {name}"
        self.hs_token = f"hs token of {name}"
        self.transactions: list[tuple[str, dict[str, Any]]] = []
        self.pings: list[Any] = []
        self.asked: list[str] = []
        self.knows: dict[str, Any] = {}
        self.fails = 0
        self.ping_status = 200
        self._server: Server | None = None

    def registration(self, **changes: Any) -> dict[str, Any]:
        return {
            "id": self.name,
            "url": f"http://{self.name}.bridge.test:9000",
            "as_token": self.as_token,
            "hs_token": self.hs_token,
            "sender_localpart": f"{self.name}bot",
            "namespaces": {
                "users": [{"exclusive": True, "regex": f"@_{self.name}_.*"}],
                "aliases": [{"exclusive": True, "regex": f"#_{self.name}_.*"}],
                "rooms": [],
            },
            "rate_limited": False,
            **changes,
        }

    def registers(self, directory: Path, **changes: Any) -> str:
        """Write a registration file; its path."""
        path = directory / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(self.registration(**changes)))
        return str(path)

    def listens(self, server: Server, outside: Outside, *, address: str = ADDRESS) -> None:
        """Be reachable for a server that is about to start."""
        self._server = server
        outside.names[f"{self.name}.bridge.test"] = [address]
        outside.servers[address, 9000] = HttpServer(
            Router([self], {}, Unlimited()), server.clock, write_access=None
        )
        server.network = outside

    # What the server asks.

    def _check(self, request: Request) -> None:
        assert request.header("Authorization") == f"Bearer {self.hs_token}"

    @endpoint("PUT", "/_matrix/app/v1/transactions/{txn_id}", auth=Auth.NONE, max_body=10_000_000)
    async def transaction(self, txn_id: str, request: Request, body: dict[str, Any]) -> Response:
        self._check(request)
        if self.fails > 0:
            self.fails -= 1
            return Response(500, {"errcode": "M_UNKNOWN", "error": "not now"})
        self.transactions.append((txn_id, body))
        return Response(200, {})

    @endpoint("POST", "/_matrix/app/v1/ping", auth=Auth.NONE)
    async def ping(self, request: Request, body: dict[str, Any]) -> Response:
        self._check(request)
        self.pings.append(body)
        return Response(self.ping_status, {})

    @endpoint("GET", "/_matrix/app/v1/users/{user_id}", auth=Auth.NONE)
    async def has_user(self, user_id: str, request: Request) -> Response:
        return await self._asked(user_id, request)

    @endpoint("GET", "/_matrix/app/v1/rooms/{alias}", auth=Auth.NONE)
    async def has_room(self, alias: str, request: Request) -> Response:
        return await self._asked(alias, request)

    @endpoint("GET", "/_matrix/app/v1/thirdparty/{path...}", auth=Auth.NONE)
    async def third_party(self, path: str, request: Request) -> Response:
        return await self._asked(path, request)

    async def _asked(self, what: str, request: Request) -> Response:
        self._check(request)
        self.asked.append(what)
        found = self.knows.get(what)
        if found is None:
            return Response(404, {"errcode": "M_NOT_FOUND", "error": "no"})
        if callable(found):
            await found()
            return Response(200, {})
        return Response(200, found)

    # What it does.

    @property
    def client(self) -> Client:
        """The bridge itself."""
        assert self._server is not None
        return self._server.client(self.as_token)

    async def ghost(self, localpart: str) -> User:
        """Register a user of the bridge; what is returned acts as them with the bridge's token."""
        assert self._server is not None
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        await self.client.request("POST", "/register", body)
        return self.acts_as(self._server.user_id(localpart))

    def acts_as(self, user_id: str) -> User:
        assert self._server is not None
        session = Session(UserID(user_id), "", self.as_token, "")
        return Ghost(self._server, self._server.watch, self._server.clock.now_ms, session)

    # What it has heard.

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, body in self.transactions for event in body["events"]]

    @property
    def ephemeral(self) -> list[dict[str, Any]]:
        return [event for _, body in self.transactions for event in body.get("ephemeral", ())]

    @property
    def bodies(self) -> list[str]:
        return [event["content"]["body"] for event in self.events if "body" in event["content"]]


class Ghost(User):
    """A user whom a bridge acts as: every request says who it is."""

    device: str | None = None

    async def ask(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        query = {**(options.pop("query", None) or {}), "user_id": self.user_id, "device_id": self.device}
        return await super().ask(method, path, json, query=query, **options)
