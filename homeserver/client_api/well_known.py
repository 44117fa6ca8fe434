"""How others find this server from its name alone.

Spec: https://spec.matrix.org/v1.19/client-server-api/#well-known-uris
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.errors import NotFound
from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.responses import RawJson


class WellKnownEndpoints:
    """Serves the well-known files; one that is None is not there."""

    def __init__(
        self,
        *,
        client: Mapping[str, Any] | None,
        server: str | None,
        support: Mapping[str, Any] | None,
        policy: Mapping[str, Any] | None,
    ) -> None:
        self._client = _encoded(client)
        self._server = _encoded(None if server is None else {"m.server": server})
        self._support = _encoded(support)
        self._policy = _encoded(policy)

    @endpoint("GET", "/.well-known/matrix/client", auth=Auth.NONE)
    async def get_wellknown(self) -> RawJson:
        """Where clients find this server, and what else they should know.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixclient
        """
        return _present(self._client)

    @endpoint("GET", "/.well-known/matrix/server", auth=Auth.NONE)
    async def get_well_known_server(self) -> RawJson:
        """Where other servers find this one.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
        """
        return _present(self._server)

    @endpoint("GET", "/.well-known/matrix/support", auth=Auth.NONE)
    async def get_well_known_support(self) -> RawJson:
        """Whom to turn to.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport
        """
        return _present(self._support)

    @endpoint("GET", "/.well-known/matrix/policy_server", auth=Auth.NONE)
    async def get_wellknown_policy(self) -> RawJson:
        """The key of the policy server of this name, for rooms that want to name it.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_well-knownmatrixpolicy_server
        """
        return _present(self._policy)


def _encoded(content: Mapping[str, Any] | None) -> RawJson | None:
    return None if content is None else RawJson(msgspec.json.encode(content))


def _present(answer: RawJson | None) -> RawJson:
    if answer is None:
        raise NotFound("this server has no such file")
    return answer
