"""Signed requests to other servers, and the common way in which they fail.

Spec: https://spec.matrix.org/v1.19/server-server-api/#request-authentication
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from federation.outbound.backoff import Backoff
from federation.outbound.policy import FederationPolicy
from federation.outbound.transport import DEFAULT_MAX_BYTES, RemoteRequest, Transport
from federation.wire.x_matrix import sign_request
from homeserver.errors import RemoteError
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.signatures import SigningKey
from homeserver.http.gate.exchange import NoAnswer
from homeserver.http.gate.reading import Answer, OpenSink
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock

T = TypeVar("T")

Query = Mapping[str, str | int | bool | Sequence[str] | None]

_UNAVAILABLE = frozenset({502, 503, 504})
"""What proxies answer for a server that is not there."""


class _StandardError(msgspec.Struct):
    errcode: str | None = None
    error: str | None = None
    retry_after_ms: int | None = None
    room_version: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteRefusal:
    """What another server says when it refuses."""

    errcode: str | None
    error: str
    retry_after_ms: int
    room_version: str | None


class Refused(RemoteError):
    """Another server answered with an error; `refusal` is what it says. A redirect has a `location`."""

    def __init__(
        self, server: ServerName, status: int, refusal: RemoteRefusal, location: str | None = None
    ) -> None:
        super().__init__(
            f"{server} answers {status} {refusal.errcode or ''}: {refusal.error}",
            status=status,
            errcode=refusal.errcode,
        )
        self.refusal = refusal
        self.location = location


class SignedRequests:
    """Signs requests, minds the policy and the back-off, and reads answers within limits."""

    def __init__(
        self,
        transport: Transport,
        backoff: Backoff,
        policy: FederationPolicy,
        clock: Clock,
        *,
        server_name: ServerName,
        signing_key: SigningKey,
        timeout_ms: int,
    ) -> None:
        self._transport = transport
        self._backoff = backoff
        self._policy = policy
        self._clock = clock
        self._server_name = server_name
        self._key = signing_key
        self._timeout_ms = timeout_ms

    async def get(
        self,
        server: ServerName,
        uri: str,
        answer: type[T],
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout_ms: int | None = None,
        patient: bool = False,
    ) -> T:
        """Ask; `patient` asks a server that failed lately all the same."""
        raw = await self.send(server, "GET", uri, max_bytes=max_bytes, timeout_ms=timeout_ms, patient=patient)
        return parse(server, raw.body, answer)

    async def put(
        self,
        server: ServerName,
        uri: str,
        content: Mapping[str, Any] | bytes,
        answer: type[T],
        *,
        method: str = "PUT",
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout_ms: int | None = None,
        patient: bool = False,
    ) -> T:
        """Tell, or ask with a body; bytes are canonical JSON already."""
        body = content if isinstance(content, bytes) else encode_canonical(content, strict=False)
        raw = await self.send(
            server, method, uri, body=body, max_bytes=max_bytes, timeout_ms=timeout_ms, patient=patient
        )
        return parse(server, raw.body, answer)

    async def send(
        self,
        server: ServerName,
        method: str,
        uri: str,
        *,
        body: bytes | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout_ms: int | None = None,
        patient: bool = False,
        open_sink: OpenSink | None = None,
    ) -> Answer:
        """Make a signed request and give the answer of a success.

        Raises:
            ServerDenied: the operator's lists forbid it.
            BackingOff: the server failed lately.
            Refused: it answers with an error.
            RemoteError: it does not answer.
        """
        self._policy.check(server)
        if not patient:
            self._backoff.check(server)
        header = sign_request(
            method=method,
            uri=uri,
            origin=self._server_name,
            destination=server,
            content=body,
            key=self._key,
        )
        headers = {"Authorization": header}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = RemoteRequest(
            server,
            method,
            uri,
            timeout_ms=self._timeout_ms if timeout_ms is None else timeout_ms,
            headers=headers,
            body=body,
            max_bytes=max_bytes,
            open_sink=open_sink,
        )
        return await self.perform(request)

    async def perform(self, request: RemoteRequest) -> Answer:
        """Make a request as it is, signed or not; see `send` for how it fails."""
        server = request.destination
        self._policy.check(server)
        asked_ms = self._clock.now_ms()
        try:
            answer = await self._transport.request(request)
        except NoAnswer:
            self._backoff.failed(server, asked_ms=asked_ms)
            raise
        if 200 <= answer.status < 300:
            self._backoff.answered(server)
            return answer
        refusal = _refusal(answer)
        # With an errcode it is the server itself that speaks, as of media that is not uploaded yet.
        if answer.status in _UNAVAILABLE and refusal.errcode is None:
            self._backoff.failed(server, asked_ms=asked_ms)
        else:
            self._backoff.answered(server)
        location = answer.headers.get("location") if 300 <= answer.status < 400 else None
        raise Refused(server, answer.status, refusal, location)


def parse(server: ServerName, body: bytes, answer: type[T]) -> T:
    """An answer's body as what it should be.

    Raises:
        RemoteError: it is something else.
    """
    try:
        return msgspec.json.decode(body, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"the answer of {server} is malformed: {error}") from error


def path(*segments: str) -> str:
    """A path under /_matrix/ whose segments are escaped: `path("federation/v1/event", event_id)`."""
    first, *others = segments
    return "/_matrix/" + "/".join((first, *(quote(segment, safe="") for segment in others)))


def with_query(uri: str, query: Query) -> str:
    """The path with a query; what is None is left out, and a list is written several times."""
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if value is None:
            continue
        if isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif isinstance(value, str | int):
            pairs.append((name, str(value)))
        else:
            pairs.extend((name, each) for each in value)
    return f"{uri}?{urlencode(pairs, quote_via=quote)}" if pairs else uri


def _refusal(answer: Answer) -> RemoteRefusal:
    try:
        error = msgspec.json.decode(answer.body, type=_StandardError)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = _StandardError()
    retry_after_ms = error.retry_after_ms or 0
    seconds = answer.headers.get("retry-after", "")
    if seconds.isascii() and seconds.isdigit():
        retry_after_ms = int(seconds[:9]) * 1000
    return RemoteRefusal(
        error.errcode, (error.error or "no reason given")[:1000], max(0, retry_after_ms), error.room_version
    )
