"""Calls: TURN servers, and what MatrixRTC goes over.

Spec: https://spec.matrix.org/v1.19/client-server-api/#voice-over-ip
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.users.turn import TurnCredentials


class CallEndpoints:
    """Says where calls go."""

    def __init__(self, turn: TurnCredentials, transports: Sequence[Mapping[str, Any]]) -> None:
        self._turn = turn
        self._transports = [dict(one) for one in transports]

    @endpoint("GET", "/_matrix/client/v3/voip/turnServer", rate_limit=RateLimit("turn"), guests=True)
    def get_turn_server(self, who: Requester) -> dict[str, Any]:
        """Credentials for the TURN servers.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3voipturnserver
        """
        return self._turn.of(who)

    @endpoint(
        "GET",
        "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
        rate_limit=RateLimit("turn"),
        guests=True,
    )
    def get_rtc_transports(self, who: Requester) -> dict[str, Any]:
        """What group calls may go over (MSC4143)."""
        return {"rtc_transports": self._transports}
