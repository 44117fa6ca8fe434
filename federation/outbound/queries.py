"""Asking other servers about their users, aliases, directory and themselves.

Spec: https://spec.matrix.org/v1.19/server-server-api/#querying-for-information
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federation.outbound.requests import SignedRequests, parse, path, with_query
from federation.outbound.transport import RemoteRequest
from federation.wire.answers import (
    ClaimedKeys,
    DeviceKeys,
    DirectoryAnswer,
    PublicRooms,
    ServerVersion,
    UserDevices,
    UserInfo,
)
from homeserver.errors import RemoteError
from homeserver.ids import RoomAlias, ServerName, UserID, domain_of

SMALL_ANSWER_BYTES = 256 * 1024
UNSIGNED_TIMEOUT_MS = 20_000


class Queries:
    """Questions that are not about a room's events."""

    def __init__(self, requests: SignedRequests) -> None:
        self._requests = requests

    async def query_profile(
        self, server: ServerName, user_id: UserID, field: str | None = None
    ) -> dict[str, Any]:
        """A user's profile, or one field of it."""
        uri = with_query(path("federation/v1/query/profile"), {"user_id": user_id, "field": field})
        return await self._requests.get(server, uri, dict[str, Any], max_bytes=SMALL_ANSWER_BYTES)

    async def query_directory(self, server: ServerName, alias: RoomAlias) -> DirectoryAnswer:
        """Where an alias leads."""
        uri = with_query(path("federation/v1/query/directory"), {"room_alias": alias})
        return await self._requests.get(server, uri, DirectoryAnswer, patient=True)

    async def query(
        self, server: ServerName, query_type: str, arguments: Mapping[str, str]
    ) -> dict[str, Any]:
        """A query of another type."""
        uri = with_query(path("federation/v1/query", query_type), arguments)
        return await self._requests.get(server, uri, dict[str, Any])

    async def get_public_rooms(
        self,
        server: ServerName,
        *,
        limit: int | None = None,
        since: str | None = None,
        include_all_networks: bool = False,
        third_party_instance_id: str | None = None,
    ) -> PublicRooms:
        """A page of the server's room directory."""
        query = {
            "limit": limit,
            "since": since,
            "include_all_networks": include_all_networks or None,
            "third_party_instance_id": third_party_instance_id,
        }
        uri = with_query(path("federation/v1/publicRooms"), query)
        return await self._requests.get(server, uri, PublicRooms, patient=True)

    async def query_public_rooms(self, server: ServerName, search: Mapping[str, Any]) -> PublicRooms:
        """A page of what the server's room directory has for a search."""
        uri = path("federation/v1/publicRooms")
        return await self._requests.put(server, uri, search, PublicRooms, method="POST", patient=True)

    async def get_user_devices(self, server: ServerName, user_id: UserID) -> UserDevices:
        """A user's devices, to follow their changes from."""
        return await self._requests.get(server, path("federation/v1/user/devices", user_id), UserDevices)

    async def query_user_keys(
        self,
        server: ServerName,
        device_keys: Mapping[UserID, Sequence[str]],
        *,
        timeout_ms: int | None = None,
    ) -> DeviceKeys:
        """The device keys of users; an empty list of devices is all of them."""
        return await self._requests.put(
            server,
            path("federation/v1/user/keys/query"),
            {"device_keys": device_keys},
            DeviceKeys,
            method="POST",
            timeout_ms=timeout_ms,
        )

    async def claim_user_keys(
        self,
        server: ServerName,
        one_time_keys: Mapping[UserID, Mapping[str, str]],
        *,
        timeout_ms: int | None = None,
    ) -> ClaimedKeys:
        """A one-time key of the algorithm for each device."""
        return await self._requests.put(
            server,
            path("federation/v1/user/keys/claim"),
            {"one_time_keys": one_time_keys},
            ClaimedKeys,
            method="POST",
            timeout_ms=timeout_ms,
        )

    async def get_openid_userinfo(self, server: ServerName, access_token: str) -> UserID:
        """Whose OpenID token it is: a user of that server.

        Raises:
            RemoteError: the token is not valid, or the server speaks for a user who is not its own.
        """
        uri = with_query(path("federation/v1/openid/userinfo"), {"access_token": access_token})
        answer = await self._unsigned(server, uri)
        user_id = parse(server, answer, UserInfo).sub
        if domain_of(user_id) != server:
            raise RemoteError(f"{server} says that the token is one of {user_id}")
        return UserID(user_id)

    async def get_version(self, server: ServerName) -> ServerVersion:
        """The name and version of the server's software."""
        return parse(server, await self._unsigned(server, path("federation/v1/version")), ServerVersion)

    async def _unsigned(self, server: ServerName, uri: str) -> bytes:
        request = RemoteRequest(
            server, "GET", uri, timeout_ms=UNSIGNED_TIMEOUT_MS, max_bytes=SMALL_ANSWER_BYTES
        )
        return (await self._requests.perform(request)).body
