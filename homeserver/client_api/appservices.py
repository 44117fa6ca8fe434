"""What application services ask of their server, and what clients ask of other networks.

Spec: https://spec.matrix.org/v1.19/application-service-api/#client-server-api-extensions
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.appservices.networks import Networks
from homeserver.appservices.service import Asking
from homeserver.errors import NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.params import parse_query
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import RoomID
from homeserver.rooms.directory import Directory


class Ping(msgspec.Struct):
    """A ping, which the service knows again by its transaction ID."""

    transaction_id: str | None = None


class NetworkVisibility(msgspec.Struct):
    """Whether a room is to be listed."""

    visibility: Literal["public", "private"]


class AppserviceEndpoints:
    """Serves application services."""

    def __init__(self, asking: Asking, directory: Directory) -> None:
        self._asking = asking
        self._directory = directory

    @endpoint(
        "POST",
        "/_matrix/client/v1/appservice/{appservice_id}/ping",
        auth=Auth.APPSERVICE,
        aliases=("/_matrix/client/unstable/fi.mau.msc2659/appservice/{appservice_id}/ping",),
    )
    async def ping_appservice(self, who: Requester, appservice_id: str, body: Ping) -> dict[str, Any]:
        """Have the server call the service, to see whether it can.

        Spec: https://spec.matrix.org/v1.19/application-service-api/#post_matrixclientv1appserviceappserviceidping
        """
        took_ms = await self._asking.ping(appservice_id, who.appservice_id, body.transaction_id)
        return {"duration_ms": took_ms}

    @endpoint(
        "PUT",
        "/_matrix/client/v3/directory/list/appservice/{network_id}/{room_id}",
        auth=Auth.APPSERVICE,
    )
    async def update_appservice_room_directory_visibility(
        self, who: Requester, network_id: str, room_id: RoomID, body: NetworkVisibility
    ) -> Empty:
        """List a room among those of one network of the service, or no more.

        Spec: https://spec.matrix.org/v1.19/application-service-api/#put_matrixclientv3directorylistappservicenetworkidroomid
        """
        if not await self._directory.is_known(room_id):
            raise NotFound(f"unknown room {room_id}")
        await self._directory.set_network_published(
            who.appservice_id or "", network_id, room_id, published=body.visibility == "public"
        )
        return Empty()


class AliasQuery(msgspec.Struct):
    """An alias that may lead elsewhere."""

    alias: str


class UserQuery(msgspec.Struct, rename={"user_id": "userid"}):
    """A user who may be somebody elsewhere."""

    user_id: str


class ThirdPartyEndpoints:
    """Serves look-ups of other networks."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    @endpoint("GET", "/_matrix/client/v3/thirdparty/protocols", rate_limit=RateLimit("reading"))
    async def get_protocols(self, who: Requester) -> dict[str, Any]:
        """The protocols that bridges of this server speak.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyprotocols
        """
        return await self._networks.protocols()

    @endpoint("GET", "/_matrix/client/v3/thirdparty/protocol/{protocol}", rate_limit=RateLimit("reading"))
    async def get_protocol_metadata(self, who: Requester, protocol: str) -> dict[str, Any]:
        """One protocol.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyprotocolprotocol
        """
        return await self._networks.protocol(protocol)

    @endpoint("GET", "/_matrix/client/v3/thirdparty/location/{protocol}", rate_limit=RateLimit("reading"))
    async def query_location_by_protocol(self, who: Requester, protocol: str, request: Request) -> list[Any]:
        """The portal rooms to a place on another network.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartylocationprotocol
        """
        return await self._networks.look_up("location", protocol, _fields(request))

    @endpoint("GET", "/_matrix/client/v3/thirdparty/user/{protocol}", rate_limit=RateLimit("reading"))
    async def query_user_by_protocol(self, who: Requester, protocol: str, request: Request) -> list[Any]:
        """The user IDs of somebody on another network.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyuserprotocol
        """
        return await self._networks.look_up("user", protocol, _fields(request))

    @endpoint("GET", "/_matrix/client/v3/thirdparty/location", rate_limit=RateLimit("reading"))
    async def query_location_by_alias(self, who: Requester, query: AliasQuery) -> list[Any]:
        """The places on other networks that an alias stands for.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartylocation
        """
        return await self._networks.look_back("location", {"alias": query.alias})

    @endpoint("GET", "/_matrix/client/v3/thirdparty/user", rate_limit=RateLimit("reading"))
    async def query_user_by_id(self, who: Requester, query: UserQuery) -> list[Any]:
        """The people on other networks whom a user ID stands for.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyuser
        """
        return await self._networks.look_back("user", {"userid": query.user_id})


def _fields(request: Request) -> dict[str, str]:
    """The fields that identify somebody or some place: any query parameter but the token."""
    return {key: value for key, value in parse_query(request.query_string) if key != "access_token"}
