"""A client for any http or https URL, for all that is not federation: previews, pushes, webhooks, delegation.

Every connection, also one after a redirect, passes the address policy; a URL of another scheme is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import idna
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
# What stays as it is in a URL: everything that has a meaning there, and what is encoded already.
_PATH = "/%:=&~+!$,;'@()*"
_QUERY = _PATH + "?[]"
_is_host = re.compile(r"[0-9A-Za-z._:-]+", re.ASCII).fullmatch
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
            url = ascii_url(url)
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
                return replace(answer, url=url)
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


def ascii_url(url: str) -> str:
    """The URL as it goes over the wire, if it is one that a server may be asked to fetch.

    Raises:
        RemoteError: it is not: another scheme, no host, or a user and a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except (ValueError, idna.IDNAError):
        raise RemoteError(f"{_without_user(url)!r} is not a URL") from None
    if parts.scheme not in ("http", "https") or port == 0 or "@" in parts.netloc or not _is_host(host):
        raise RemoteError(f"{_without_user(url)!r} is not a URL that can be fetched")
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    query = f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
    return f"{parts.scheme}://{netloc}{quote(parts.path or '/', safe=_PATH)}{query}"


def _without_user(url: str) -> str:
    """A URL as errors show it."""
    return re.sub(r"//[^/?#]*@", "//", url)[:100]


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, dialer: Dialer, trust: Trust) -> None:
        self._dialer = dialer
        self._trust = trust

    def endpointForURI(self, uri: URI) -> CappedEndpoint:
        host = uri.host.decode("ascii")
        creator = self._trust.creator(host) if uri.scheme == b"https" else None
        return CappedEndpoint(self._dialer.endpoint(host, uri.port, creator))
