"""What a client asks before anything else: does the server live, what can it do, and how often may one ask?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Rate
from homeserver.im_api.classes import ANONYMOUS, LIMITED

BY_ADDRESS = frozenset({"im_login", "registration", "email_code"})


@dataclass(frozen=True, slots=True)
class ImCapabilities:
    """What the configuration allows."""

    registration: bool
    passwords: bool
    email_codes: bool
    encrypted_rooms: bool
    recall_window_ms: int
    request_lifetime_ms: int
    max_group_members: int
    presence_scope: str
    calls: bool


class ServiceEndpoints:
    """Answers anybody."""

    def __init__(self, rates: Mapping[str, Rate], capabilities: ImCapabilities, version: str) -> None:
        self._rates = rates
        self._capabilities = capabilities
        self._version = version

    @endpoint("GET", "/im/v1/health", auth=Auth.NONE)
    def get_im_health(self) -> dict[str, Any]:
        """Whether the server answers."""
        return {"status": "ok", "version": self._version}

    @endpoint("GET", "/im/v1/capabilities", auth=Auth.NONE, rate_limit=ANONYMOUS)
    def get_im_capabilities(self) -> dict[str, Any]:
        """What this server offers."""
        one = self._capabilities
        return {
            "version": "v1",
            "server": f"Hearth {self._version}",
            "registration": one.registration,
            "login": [
                *(["password"] if one.passwords else []),
                *(["email_code"] if one.email_codes else []),
            ],
            "encrypted_rooms": one.encrypted_rooms,
            "recall_window_ms": one.recall_window_ms,
            "request_lifetime_ms": one.request_lifetime_ms,
            "max_group_members": one.max_group_members,
            "presence_scope": one.presence_scope,
            "calls": {"turn": one.calls},
            "realtime": ["ws", "updates"],
        }

    @endpoint("GET", "/im/v1/limits", auth=Auth.NONE, rate_limit=ANONYMOUS)
    def get_limits(self) -> dict[str, Any]:
        """How often one may ask: so many at once, and so many a second in the long run. 0 is without limit."""
        items = []
        for name, what in LIMITED.items():
            rate = self._rates.get(name)
            if rate is None:
                continue
            found = {"class": name, "counts": what, "per": _per(name), **_shown(rate)}
            by_address = self._rates.get(f"{name}_address")
            if by_address is not None:
                found["per_address"] = _shown(by_address)
            items.append(found)
        return {"items": items}


def _per(name: str) -> str:
    if name in BY_ADDRESS:
        return "address"
    return "e-mail address" if name == "email_code_per_day" else "user"


def _shown(rate: Rate) -> dict[str, Any]:
    return {"per_second": rate.per_second, "burst": rate.burst_count}
