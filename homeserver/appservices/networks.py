"""Other networks, as the application services that bridge to them know them.

Spec: https://spec.matrix.org/v1.19/application-service-api/#third-party-networks
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from homeserver.appservices.client import ServiceClient
from homeserver.appservices.directory import Appservices
from homeserver.appservices.registration import Appservice
from homeserver.errors import NotFound
from homeserver.runtime.clock import Clock

REMEMBERED_S = 300.0
_LISTS = ("user_fields", "location_fields")


class Networks:
    """Asks services for protocols, places and people."""

    def __init__(self, appservices: Appservices, client: ServiceClient, clock: Clock) -> None:
        self._appservices = appservices
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    async def protocols(self) -> dict[str, Any]:
        """Every protocol that some service speaks just now."""
        names = sorted({name for each in self._appservices.all for name in each.registration.protocols})
        found = {name: await self._protocol(name) for name in names}
        return {name: protocol for name, protocol in found.items() if protocol is not None}

    async def protocol(self, name: str) -> dict[str, Any]:
        """
        Raises:
            NotFound: no service speaks it.
        """
        found = await self._protocol(name)
        if found is None:
            raise NotFound(f"no application service speaks {name!r}")
        return found

    async def look_up(self, what: str, name: str, fields: Mapping[str, str]) -> list[Any]:
        """Places ("location") or people ("user") of a network.

        Raises:
            NotFound: no service speaks the protocol, or none knows of such a place or person.
        """
        speakers = self._speakers(name)
        if not speakers:
            raise NotFound(f"no application service speaks {name!r}")
        return await self._all(speakers, f"{what}/{name}", fields)

    async def look_back(self, what: str, query: Mapping[str, str]) -> list[Any]:
        """What an alias or a user ID stands for elsewhere: `what` is "location" or "user".

        Raises:
            NotFound: nothing, as far as any service knows.
        """
        speakers = [each for each in self._appservices.all if each.registration.protocols]
        return await self._all(speakers, what, query)

    def _speakers(self, protocol: str) -> list[Appservice]:
        return [each for each in self._appservices.all if protocol in each.registration.protocols]

    async def _protocol(self, name: str) -> dict[str, Any] | None:
        known = self._known.get(name)
        if known is not None and known[0] > self._clock.seconds():
            return known[1]
        merged: dict[str, Any] | None = None
        for service in self._speakers(name):
            answer = await self._client.look_up(service, f"protocol/{name}", {})
            if not isinstance(answer, dict) or not all(isinstance(answer.get(key), list) for key in _LISTS):
                continue
            protocol = {**answer, "instances": _instances(service, answer.get("instances"))}
            protocol.setdefault("icon", "")
            protocol.setdefault("field_types", {})
            if merged is None:
                merged = protocol
            else:
                merged["instances"] += protocol["instances"]
        if merged is not None:
            self._known[name] = (self._clock.seconds() + REMEMBERED_S, merged)
        return merged

    async def _all(self, services: list[Appservice], path: str, query: Mapping[str, str]) -> list[Any]:
        asking = [Deferred.fromCoroutine(self._client.look_up(service, path, query)) for service in services]
        answers: list[Any] = await gatherResults(asking)
        found = [each for answer in answers if isinstance(answer, list) for each in answer]
        known = [each for each in found if isinstance(each, dict)]
        if not known:
            raise NotFound("no application service knows it")
        return known


def _instances(service: Appservice, instances: Any) -> list[dict[str, Any]]:
    """The networks that a service bridges to, under IDs that are unique on this server."""
    return [
        {**instance, "instance_id": f"{service.id}|{instance['network_id']}"}
        for instance in (instances if isinstance(instances, list) else [])
        if isinstance(instance, dict) and isinstance(instance.get("network_id"), str)
    ]
