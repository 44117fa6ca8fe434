"""Asking application services: transactions, pings, and what they know of users, rooms and other networks.

Their addresses are the operator's, so any may be reached.
Spec: https://spec.matrix.org/v1.19/application-service-api/#homeserver---application-service-api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec

from homeserver.appservices.registration import Appservice
from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer

TIMEOUT_MS = 60_000
QUERY_TIMEOUT_MS = 10_000
MAX_ANSWER_BYTES = 1024 * 1024


class Http(Protocol):
    """The way to application services."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_bytes: int | None = None,
        timeout_ms: int | None = None,
    ) -> Answer:
        """
        Raises:
            RemoteError: there was no answer.
        """
        ...


class NoHttp:
    """A server that reaches nobody."""

    async def request(self, method: str, url: str, **_options: Any) -> Answer:
        """Reach nobody.

        Raises:
            RemoteError: always.
        """
        raise RemoteError("this server has no way to application services")


class ServiceClient:
    """Speaks to application services; `token_in_query` is for those who look for it there only."""

    def __init__(self, http: Http, *, token_in_query: bool = False) -> None:
        self._http = http
        self._token_in_query = token_in_query

    async def send_transaction(self, service: Appservice, txn_id: str, body: bytes) -> None:
        """
        Raises:
            RemoteError: the service did not take it.
        """
        await self._ask(service, "PUT", f"/_matrix/app/v1/transactions/{quote(txn_id, safe='')}", body=body)

    async def ping(self, service: Appservice, body: bytes) -> None:
        """
        Raises:
            RemoteError: the service did not answer, or not well; `status` is what it answered.
        """
        await self._ask(service, "POST", "/_matrix/app/v1/ping", body=body, timeout_ms=QUERY_TIMEOUT_MS)

    async def knows(self, service: Appservice, what: str, identifier: str) -> bool:
        """Whether the service has a user ("users") or a room ("rooms"), and has made it by now."""
        path = f"/{what}/{quote(identifier, safe='')}"
        try:
            await self._ask(service, "GET", f"/_matrix/app/v1{path}", timeout_ms=QUERY_TIMEOUT_MS)
        except RemoteError:
            return False
        return True

    async def look_up(self, service: Appservice, path: str, query: Mapping[str, str]) -> Any:
        """What the service knows of another network; None if it does not."""
        target = f"/_matrix/app/v1/thirdparty/{path}"
        try:
            answer = await self._ask(service, "GET", target, query=query, timeout_ms=QUERY_TIMEOUT_MS)
            return msgspec.json.decode(answer.body)
        except (RemoteError, msgspec.DecodeError):
            return None

    async def _ask(
        self,
        service: Appservice,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> Answer:
        registration = service.registration
        if registration.url is None:
            raise RemoteError(f"{service.id} has no URL")
        asked = dict(query or {})
        if self._token_in_query:
            asked["access_token"] = registration.hs_token
        url = registration.url + path + (f"?{urlencode(asked)}" if asked else "")
        headers = {"Authorization": f"Bearer {registration.hs_token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = await self._http.request(
            method, url, headers=headers, body=body, timeout_ms=timeout_ms, max_bytes=MAX_ANSWER_BYTES
        )
        if not 200 <= answer.status < 300:
            raise BadStatus(f"{service.id} answered {answer.status}", answer)
        return answer


class BadStatus(RemoteError):
    """The service answered, but not that all is well."""

    def __init__(self, error: str, answer: Answer) -> None:
        super().__init__(error, status=answer.status)
        self.answer = answer
