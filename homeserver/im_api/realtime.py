"""The realtime stream: over a WebSocket, and as a long-poll (IM API, part B.12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from homeserver.errors import BadJson, GuestForbidden, InvalidParam, MissingToken, UnknownToken, UserLocked
from homeserver.events.filters import parse_filter
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson, Upgrade
from homeserver.ids import NAMESPACE
from homeserver.im.realtime_door import Door
from homeserver.im_api.classes import REST
from homeserver.rooms.tokens import StreamToken, parse_token
from homeserver.sync.request import SyncRequest
from homeserver.sync.socket import SocketServices, SocketSession
from homeserver.sync.websocket import Seat, WebSockets, check_upgrade

SUBPROTOCOL = f"{NAMESPACE}v1"
TOKEN_PREFIX = f"{NAMESPACE}token."
"""A browser, which can send no header, offers this and its token as a second subprotocol."""
SOCKETS_PER_ADDRESS = 1000

Shown = Literal["offline", "online", "unavailable"]


class UpdatesQuery(msgspec.Struct):
    """`since` is a token of this stream or of `/sync`; without one the answer is the token to begin from."""

    since: str | None = None
    timeout: int = 30_000
    set_presence: Shown = "online"


class SocketQuery(msgspec.Struct):
    since: str | None = None
    set_presence: Shown = "online"


class Tokens(Protocol):
    """Knows who an access token stands for."""

    async def requester_of(self, token: str) -> Requester | None: ...


class RealtimeEndpoints:
    """Serves the stream."""

    def __init__(self, services: SocketServices, tokens: Tokens) -> None:
        self._services = services
        self._tokens = tokens
        self._sockets = WebSockets(SUBPROTOCOL)
        self._filter = parse_filter({})

    @endpoint("GET", "/im/v1/updates", rate_limit=REST)
    async def get_updates(self, who: Requester, query: UpdatesQuery, request: Request) -> RawJson:
        """What is new since a token, as frames; waits for something up to `timeout` ms."""
        wanted = self._request(who, _token(query.since))
        clients = self._services.clients
        clients.seen(wanted, query.set_presence)
        with clients.watch(who) as watch:
            answer = await self._services.polls.poll(wanted, query.timeout, request.on_disconnect, watch)
        return RawJson(answer.body)

    @endpoint("GET", "/im/v1/ws", auth=Auth.NONE, rate_limit=RateLimit("stream", by_address=True))
    async def open_socket(self, query: SocketQuery, request: Request) -> Upgrade:
        """The stream and the operations over a WebSocket.

        The token comes in the Authorization header, as a subprotocol, or in the first frame; never in the URL.
        """
        offered = check_upgrade(request)
        if offered and SUBPROTOCOL not in offered:
            raise InvalidParam(f"the only subprotocol is {SUBPROTOCOL}")
        token = _bearer(request) or next(
            (each.removeprefix(TOKEN_PREFIX) for each in offered if each.startswith(TOKEN_PREFIX)), None
        )
        if token is None:
            return self._door(request.client_address, query)
        who = await self._who(token)
        with self._sockets.arriving(who.user_id):
            session = await self._session(who, _token(query.since), query.set_presence)
        return self._sockets.upgrade(Seat(who.user_id), session)

    def _door(self, address: str, query: SocketQuery) -> Upgrade:
        """A socket whose owner is told by its first frame."""
        self._sockets.check_seat(address, most=SOCKETS_PER_ADDRESS)
        seat = Seat(address)

        async def greet(params: Mapping[str, Any]) -> tuple[Requester, SocketSession]:
            token, since = params.get("token"), params.get("since", query.since)
            if not isinstance(token, str):
                raise MissingToken("auth needs a token")
            if since is not None and not isinstance(since, str):
                raise BadJson("since must be a token")
            who = await self._who(token)
            session = await self._session(who, _token(since), query.set_presence)
            self._sockets.move(seat, who.user_id)
            return who, session

        services = self._services
        return self._sockets.upgrade(seat, Door(greet, services.dialect, services.clock, services.tasks))

    async def _who(self, token: str) -> Requester:
        who = await self._tokens.requester_of(token)
        if who is None:
            raise UnknownToken()
        if who.is_locked:
            raise UserLocked()
        if who.is_guest:
            raise GuestForbidden("guests may not do this")
        return who

    async def _session(self, who: Requester, since: StreamToken | None, shown: Shown) -> SocketSession:
        wanted = self._request(who, since)
        clients = self._services.clients
        clients.seen(wanted, shown)
        with clients.watch(who) as watch:
            first = await self._services.polls.poll(wanted, 0, watch=watch)
            watch.check()
        return SocketSession(self._services, who, wanted, first, set_presence=shown)

    def _request(self, who: Requester, since: StreamToken | None) -> SyncRequest:
        return SyncRequest(who.user_id, who.device_id, self._filter, since=since)


def _token(since: str | None) -> StreamToken | None:
    return None if since is None else parse_token(since)


def _bearer(request: Request) -> str | None:
    """The token of the header; one in the URL, where proxies write it down, is none."""
    value = request.header("authorization") or ""
    return value[7:].strip() if value[:7].lower() == "bearer " else None
