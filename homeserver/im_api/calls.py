"""Calls: beginning them, what goes between the two ends, and the servers that help (IM API, part B.11)."""

from __future__ import annotations

from typing import Any

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.ids import RoomID
from homeserver.im.calls import BeginCall, Calls, Verb
from homeserver.im_api.classes import SEND, client_id_of
from homeserver.users.turn import TurnCredentials


class CallEndpoints:
    """Calls in conversations."""

    def __init__(self, calls: Calls, turn: TurnCredentials) -> None:
        self._calls = calls
        self._turn = turn

    @endpoint("POST", "/im/v1/conversations/{cid}/calls", rate_limit=SEND, suspended=False)
    async def begin_call(
        self, who: Requester, cid: RoomID, body: BeginCall, request: Request
    ) -> dict[str, Any]:
        """Call whoever is in a conversation."""
        body.client_msg_id = client_id_of(request, body.client_msg_id)
        call_id, event_id = await self._calls.begin(cid, who, body)
        return {"call_id": call_id, "event_id": event_id}

    @endpoint("GET", "/im/v1/calls/turn", rate_limit=RateLimit("turn"))
    def get_call_servers(self, who: Requester) -> dict[str, Any]:
        """Credentials for the TURN servers."""
        return self._turn.of(who)

    @endpoint("POST", "/im/v1/calls/{call_id}/{verb}", rate_limit=SEND, suspended=False)
    async def act_on_call(
        self, who: Requester, call_id: str, verb: Verb, body: dict[str, Any]
    ) -> dict[str, Any]:
        """Answer, reject or hang up; send candidates; choose an answer; negotiate anew."""
        return {"event_id": await self._calls.act(call_id, verb, who, body)}
