"""What is asked of other servers about the keys of their users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from federation.wire.answers import ClaimedKeys, DeviceKeys, UserDevices
from homeserver.errors import RemoteError
from homeserver.ids import ServerName, UserID


class RemoteKeys(Protocol):
    """The client of the server-server API, as far as it is needed here. Every method may raise `RemoteError`."""

    async def query_user_keys(
        self,
        server: ServerName,
        device_keys: Mapping[UserID, Sequence[str]],
        *,
        timeout_ms: int | None = None,
    ) -> DeviceKeys:
        """The keys of users' devices; an empty list stands for all of them."""
        ...

    async def claim_user_keys(
        self,
        server: ServerName,
        one_time_keys: Mapping[UserID, Mapping[Any, str]],
        *,
        timeout_ms: int | None = None,
    ) -> ClaimedKeys:
        """A one-time key of the algorithm for each device."""
        ...

    async def get_user_devices(self, server: ServerName, user_id: UserID) -> UserDevices:
        """A user's devices, and the place in the stream of changes that they are as of."""
        ...


class NoRemoteKeys:
    """A server without federation."""

    async def query_user_keys(
        self,
        server: ServerName,
        device_keys: Mapping[UserID, Sequence[str]],
        *,
        timeout_ms: int | None = None,
    ) -> DeviceKeys:
        raise RemoteError(f"{server}: this server does not federate")

    async def claim_user_keys(
        self,
        server: ServerName,
        one_time_keys: Mapping[UserID, Mapping[Any, str]],
        *,
        timeout_ms: int | None = None,
    ) -> ClaimedKeys:
        raise RemoteError(f"{server}: this server does not federate")

    async def get_user_devices(self, server: ServerName, user_id: UserID) -> UserDevices:
        raise RemoteError(f"{server}: this server does not federate")


def failure_of(error: RemoteError) -> dict[str, Any]:
    """How a client is told that a server did not answer."""
    return {"status": error.status or 503, "message": str(error)}
