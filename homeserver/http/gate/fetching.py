"""A client for any http or https URL, for all that is not federation: previews, pushes, webhooks, delegation.

Every connection, also one after a redirect, passes the address policy; a URL of another scheme is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from homeserver.errors import RemoteError
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.dialing import Dialer
from homeserver.http.gate.exchange import exchange
from homeserver.http.gate.reading import Answer, CappedEndpoint, OpenSink
from homeserver.http.gate.tls import Trust
from homeserver.runtime.clock import Clock

DEFAULT_TIMEOUT_MS = 30_000
DEFAULT_MAX_BYTES = 1024 * 1024
KEPT_CONNECTION_S = 30
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Fetcher:
    """Makes requests through one address policy and one set of trusted authorities."""

    def __init__(
        self, reactor: Any, clock: Clock, policy: AddressPolicy, trust: Trust, *, user_agent: str = "Hearth"
    ) -> None:
        self._clock = clock
        self._user_agent = user_agent
        self._pool = HTTPConnectionPool(reactor)
        self._pool.cachedConnectionTimeout = KEPT_CONNECTION_S
        endpoints = _Endpoints(Dialer(reactor, policy), trust)
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, self._pool)

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_redirects: int = 0,
        open_sink: OpenSink | None = None,
    ) -> Answer:
        """Make a request; what `open_sink` makes takes the body of a success. Any status is an answer.

        Raises:
            RemoteError: there is no answer, or one that goes beyond a limit.
        """
        sent = {"User-Agent": self._user_agent, **(headers or {})}
        seen = set()
        for _ in range(max_redirects + 1):
            check_url(url)
            answer = await exchange(
                self._agent,
                self._clock,
                method,
                url,
                headers=sent,
                body=body,
                timeout_ms=timeout_ms,
                max_bytes=max_bytes,
                open_sink=open_sink,
            )
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None or max_redirects == 0:
                return answer
            seen.add(url)
            before, url = url, urljoin(url, location)
            if url in seen:
                raise RemoteError(f"{before} redirects in a circle")
            if urlsplit(before)[:2] != urlsplit(url)[:2]:
                # Credentials are for the server that they were made for.
                sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
            if answer.status == 303:
                method, body = "GET", None
        raise RemoteError(f"more than {max_redirects} redirects")

    async def close(self) -> None:
        """End the connections that were kept."""
        await self._pool.closeCachedConnections()


def check_url(url: str) -> None:
    """Whether the URL is one that a server may be asked to fetch.

    Raises:
        RemoteError: it is not.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not url.isascii() or any(ord(character) <= 32 for character in url):
        raise RemoteError(f"{url[:100]!r} is not a URL that can be fetched")


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, dialer: Dialer, trust: Trust) -> None:
        self._dialer = dialer
        self._trust = trust

    def endpointForURI(self, uri: URI) -> CappedEndpoint:
        host = uri.host.decode("ascii")
        creator = self._trust.creator(host) if uri.scheme == b"https" else None
        return CappedEndpoint(self._dialer.endpoint(host, uri.port, creator))
