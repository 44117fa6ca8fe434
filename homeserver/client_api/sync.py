"""`/sync`, long-polled. Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync"""

from __future__ import annotations

from typing import Literal

import msgspec

from homeserver.http.endpoint import endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.rooms.tokens import parse_token
from homeserver.sync.clients import SyncClients
from homeserver.sync.long_poll import LongPolls
from homeserver.sync.request import STATE_AFTER, STATE_AFTER_UNSTABLE, SyncRequest


class SyncQuery(
    msgspec.Struct, kw_only=True, rename={"unstable_state_after": "org.matrix.msc4222.use_state_after"}
):
    """`timeout` in ms."""

    filter: str | None = None
    since: str | None = None
    full_state: bool = False
    set_presence: Literal["offline", "online", "unavailable"] = "online"
    timeout: int = 0
    use_state_after: bool = False
    unstable_state_after: bool = False


class SyncEndpoints:
    """Serves `/sync`."""

    def __init__(self, polls: LongPolls, clients: SyncClients) -> None:
        self._polls = polls
        self._clients = clients

    @endpoint("GET", "/_matrix/client/v3/sync", guests=True)
    async def sync(self, who: Requester, query: SyncQuery, request: Request) -> RawJson:
        """Everything that is new to the device since `since`; waits up to `timeout` ms for something.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
        """
        state_key = "state"
        if query.use_state_after:
            state_key = STATE_AFTER
        elif query.unstable_state_after:
            state_key = STATE_AFTER_UNSTABLE
        found = self._clients.find_filter(who.user_id, query.filter)
        wanted = SyncRequest(
            who.user_id,
            who.device_id,
            found if found is not None else await self._clients.load_filter(who.user_id, query.filter),
            since=None if query.since is None else parse_token(query.since),
            full_state=query.full_state,
            state_key=state_key,
            is_guest=who.is_guest,
        )
        self._clients.seen(wanted, query.set_presence)
        with self._clients.watch(who) as watch:
            answer = await self._polls.poll(wanted, query.timeout, request.on_disconnect, watch)
        return RawJson(answer.body)
