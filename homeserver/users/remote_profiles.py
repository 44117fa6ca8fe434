"""The profiles of other servers' users, as their servers tell them."""

from __future__ import annotations

from typing import Any

from federation.outbound.client import FederationClient
from homeserver.errors import NotFound, RemoteError
from homeserver.ids import UserID, domain_of


class FederatedProfiles:
    """Asks the user's server each time: profiles change."""

    def __init__(self, client: FederationClient) -> None:
        self._client = client

    async def query_profile(self, user_id: UserID, field: str | None) -> dict[str, Any]:
        """
        Raises:
            NotFound: the user or the field does not exist there, or the server did not answer.
        """
        try:
            return await self._client.query_profile(domain_of(user_id), user_id, field)
        except RemoteError as error:
            raise NotFound(f"no profile of {user_id}: {error}") from error
