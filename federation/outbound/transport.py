"""The one way out: a request to a server by its name, and its answer.

Everything above builds on `Transport`, so that whole servers also run over a network in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from homeserver.http.gate.reading import Answer, OpenSink
from homeserver.ids import ServerName

DEFAULT_MAX_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RemoteRequest:
    """A request to another server; `uri` is path and query. A sink takes the body of a success."""

    destination: ServerName
    method: str
    uri: str
    timeout_ms: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    open_sink: OpenSink | None = None


class WebClient(Protocol):
    """Fetches what is not federation: delegation files, and media that a server keeps elsewhere."""

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        timeout_ms: int,
        max_bytes: int,
        max_redirects: int,
        open_sink: OpenSink | None = None,
    ) -> Answer:
        """See `Fetcher.fetch`."""
        ...


class Transport(Protocol):
    """Carries requests to servers."""

    async def request(self, request: RemoteRequest) -> Answer:
        """The server's answer, whatever its status.

        Raises:
            RemoteError: there is none, or it is larger than `max_bytes`.
        """
        ...
