"""Everything that one server asks of another, by name."""

from __future__ import annotations

from federation.outbound.handshakes import Handshakes
from federation.outbound.history import History
from federation.outbound.queries import Queries
from federation.outbound.requests import SignedRequests


class FederationClient(Handshakes, History, Queries):
    """The server-server API as its caller sees it.

    Every method raises `RemoteError` when the server fails us: `Refused` when it answers with an error, `BackingOff`
    when it failed lately, `ServerDenied` when the operator does not want it asked.
    """

    def __init__(self, requests: SignedRequests) -> None:
        super().__init__(requests)
