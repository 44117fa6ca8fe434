"""A world without other servers: nobody can be asked, and each attempt says so."""

from __future__ import annotations

from typing import Any, NoReturn

from federation.outbound.transport import RemoteRequest
from homeserver.errors import RemoteError


class Unreachable:
    """The way out where there is none."""

    async def request(self, request: RemoteRequest) -> NoReturn:
        """Reach nobody.

        Raises:
            RemoteError: always.
        """
        raise RemoteError(f"{request.destination} cannot be reached: this server has no way out")

    async def fetch(self, method: str, url: str, **_options: Any) -> NoReturn:
        """Reach nobody.

        Raises:
            RemoteError: always.
        """
        raise RemoteError(f"{url} cannot be reached: this server has no way out")
