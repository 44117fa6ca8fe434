"""A push gateway in memory, which remembers what it was told."""

from __future__ import annotations

from typing import Any

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.responses import Response
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.runtime.clock import Clock
from tests.harness.user import User
from tests.unit.http.outside import Outside

URL = "http://push.test/_matrix/push/v1/notify"


class PushGateway:
    """Listens at `push.test`. `fails` is how many more times it fails, `rejects` the keys that it refuses."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.fails = 0
        self.rejects: list[str] = []

    def listens(self, clock: Clock, outside: Outside, *, address: str = "203.1.113.7") -> None:
        outside.names["push.test"] = [address]
        outside.servers[address, 80] = HttpServer(Router([self], {}, Unlimited()), clock, write_access=None)

    @endpoint("POST", "/_matrix/push/v1/notify", auth=Auth.NONE)
    async def notify(self, body: dict[str, Any]) -> Response:
        if self.fails > 0:
            self.fails -= 1
            return Response(502, {})
        self.told.append(body["notification"])
        return Response(200, {"rejected": self.rejects})

    @property
    def bodies(self) -> list[str]:
        """What it was told that people said."""
        return [one["content"]["body"] for one in self.told if "body" in one.get("content", {})]

    @property
    def badges(self) -> list[int]:
        return [one["counts"]["unread"] for one in self.told]


async def sets_pusher(user: User, pushkey: str = "telephone", **changes: Any) -> None:
    """Have the user's notifications pushed to the gateway."""
    pusher = {
        "kind": "http",
        "app_id": "im.example",
        "pushkey": pushkey,
        "app_display_name": "Example",
        "device_display_name": "Telephone",
        "lang": "en",
        "data": {"url": URL, "format": None, "brand": "x"},
        **changes,
    }
    pusher["data"] = {key: value for key, value in pusher["data"].items() if value is not None}
    await user.request("POST", "/pushers/set", pusher)
