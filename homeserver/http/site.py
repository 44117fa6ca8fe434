"""What all connections of one listener share."""

from __future__ import annotations

from dataclasses import dataclass, field

from homeserver.http.access import AccessLog
from homeserver.http.encoding import Encoder
from homeserver.http.head import Head, KnownBlocks
from homeserver.http.proxies import TrustedProxies
from homeserver.http.request import Request
from homeserver.http.router import Router
from homeserver.http.wire import Wire
from homeserver.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a listener is, and with how many clients."""

    max_connections: int = 20_000
    idle_s: float = 180.0
    """How long a connection may stay open without a request."""
    head_s: float = 30.0
    """How long a request's head may take to arrive."""
    body_idle_s: float = 60.0
    """How long a body may make no progress, in either direction."""
    linger_s: float = 5.0
    """How long a refused client may go on sending before it is cut off."""


@dataclass(slots=True)
class Site:
    """One listener's endpoints and habits."""

    router: Router
    clock: Clock
    wire: Wire
    encoder: Encoder
    access: AccessLog
    proxies: TrustedProxies
    limits: Limits
    request_id_header: str | None = None
    is_closing: bool = False
    requests: int = 0
    known_blocks: KnownBlocks = field(default_factory=KnownBlocks)

    def begin(self, head: Head, peer: str, *, tls: bool) -> Request:
        """The request that a head from the machine `peer` begins."""
        self.requests += 1
        request = Request(
            head,
            request_id=f"{head.method}-{self.requests}",
            client_address=peer,
            is_secure=tls,
            received_at=self.clock.seconds(),
        )
        if self.proxies.is_trusted(peer):
            request.client_address = self.proxies.client_of(peer, head.headers)
            request.is_secure = self.proxies.is_secure(head.headers, tls=tls)
            if self.request_id_header is not None:
                request.request_id = request.header(self.request_id_header) or request.request_id
        return request
