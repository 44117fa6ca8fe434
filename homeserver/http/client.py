"""Asking other people's HTTP servers: pushers, application services, previewed pages, identity servers.

Each use has a client of its own, with the addresses that it may reach and what it may take. All of them go
through the gate; nothing goes through a proxy of the environment's choosing, and cookies are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred

from homeserver.errors import RemoteError
from homeserver.http.gate.exchange import NoAnswerInTime
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.reading import Answer, OpenSink
from homeserver.http.wire import encode_json
from homeserver.runtime.clock import Clock

MAX_BYTES = 1024 * 1024
TIMEOUT_MS = 30_000


class OutboundHttp:
    """A client for one use."""

    def __init__(
        self, fetcher: Fetcher, clock: Clock, *, max_bytes: int = MAX_BYTES, timeout_ms: int = TIMEOUT_MS
    ) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._max_bytes = max_bytes
        self._timeout_ms = timeout_ms

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_redirects: int = 0,
        max_bytes: int | None = None,
        timeout_ms: int | None = None,
        open_sink: OpenSink | None = None,
    ) -> Answer:
        """Ask, and wait for the whole answer, whatever its status is.

        `timeout_ms` is for everything, from the name's resolution over redirects to the last byte. What
        `open_sink` makes takes the body of a success piece by piece.

        Raises:
            RemoteError: there was no answer, or more than `max_bytes` of it, or none in time.
        """
        limit_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        asking = Deferred.fromCoroutine(
            self._fetcher.fetch(
                method,
                url,
                headers=headers,
                body=body,
                timeout_ms=limit_ms,
                max_bytes=self._max_bytes if max_bytes is None else max_bytes,
                max_redirects=max_redirects,
                open_sink=open_sink,
            )
        )
        expired: list[bool] = []

        def expire() -> None:
            expired.append(True)
            asking.cancel()

        # The gate counts each redirect's time for itself; a chain of slow ones must end too.
        timer = self._clock.call_later(limit_ms / 1000, expire)
        try:
            return await asking
        except CancelledError:
            if not expired:
                raise
            raise NoAnswerInTime(f"{shown(url)} did not answer within {limit_ms} ms") from None
        finally:
            if timer.active():
                timer.cancel()

    async def get_json(
        self, url: str, *, headers: Mapping[str, str] | None = None, max_redirects: int = 0
    ) -> Any:
        """The JSON at a URL.

        Raises:
            RemoteError: there is none; with the status and errcode that the other side gave.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        return json_of(await self.request("GET", url, headers=sent, max_redirects=max_redirects), url)

    async def send_json(
        self, method: str, url: str, value: Any, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """What a URL answers to a JSON body.

        Raises:
            RemoteError: it did not answer, or refused.
        """
        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        return json_of(await self.request(method, url, headers=sent, body=encode_json(value)), url)

    async def post_json(self, url: str, value: Any, *, headers: Mapping[str, str] | None = None) -> Any:
        """`send_json` with POST."""
        return await self.send_json("POST", url, value, headers=headers)


def json_of(answer: Answer, url: str) -> Any:
    """The JSON of a success.

    Raises:
        RemoteError: the answer is a refusal, or no JSON.
    """
    try:
        value = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = None
        if 200 <= answer.status < 300:
            raise RemoteError(f"{shown(url)} did not answer with JSON", status=answer.status) from None
    if 200 <= answer.status < 300:
        return value
    errcode = value.get("errcode") if isinstance(value, dict) else None
    raise RemoteError(
        f"{shown(url)} answered {answer.status}",
        status=answer.status,
        errcode=errcode if isinstance(errcode, str) else None,
    )


def shown(url: str) -> str:
    """A URL as errors name it: its query may hold secrets."""
    return url.partition("?")[0]
