"""The operator's lists of servers to speak with, and of those not to."""

from __future__ import annotations

from collections.abc import Collection

from homeserver.errors import RemoteError
from homeserver.ids import ServerName


class ServerDenied(RemoteError):
    """The operator does not want us to speak with this server."""


class FederationPolicy:
    """Which servers we speak with, in either direction. Names are compared without case; never with ourselves."""

    def __init__(
        self, server_name: ServerName, *, allowed: Collection[str] | None = None, denied: Collection[str] = ()
    ) -> None:
        self._server_name = server_name
        self._allowed = None if allowed is None else {name.lower() for name in allowed}
        self._denied = {name.lower() for name in denied}

    def permits(self, server: str) -> bool:
        name = server.lower()
        if server == self._server_name:
            return False
        return name not in self._denied and (self._allowed is None or name in self._allowed)

    def check(self, server: ServerName) -> None:
        """Whether the server is one to speak with.

        Raises:
            ServerDenied: it is not.
        """
        if not self.permits(server):
            raise ServerDenied(f"{server} is not a server to speak with")
