"""The reactor of a server process: Twisted's on epoll, without a logging context for each event.

Twisted wraps each event of a descriptor in a context for the lines that it might log: two dictionaries, a text that
names the transport, and seven calls, which is a quarter of what reading a request from its socket costs. Our lines
bear the request's ID instead (`homeserver/runtime/context.py`).
"""

from __future__ import annotations

import sys
from errno import EINTR
from select import EPOLLIN

import structlog
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor

_log = structlog.get_logger(__name__)


class QuickReactor(EPollReactor):
    """An epoll reactor whose most common event, bytes to read, takes the shortest way."""

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802  # as the reactor has it
        """Wait for events, and let the descriptors act on them."""
        try:
            events = self._poller.poll(-1 if timeout is None else timeout, len(self._selectables))
        except OSError as error:
            if error.errno == EINTR:
                return
            raise
        selectables = self._selectables
        for number, event in events:
            selectable = selectables.get(number)
            if selectable is None:
                continue
            if event != EPOLLIN:
                self._doReadOrWrite(selectable, number, event)  # type: ignore[no-untyped-call]  # Twisted has no types here
                continue
            try:
                why = selectable.doRead()
            except BaseException:  # noqa: BLE001 - as Twisted does: the connection ends, the reactor goes on
                _log.exception("reading failed", descriptor=repr(selectable))
                why = sys.exc_info()[1]
            if why:
                self._disconnectSelectable(selectable, why, True)  # type: ignore[no-untyped-call]  # Twisted has no types here

    doIteration = doPoll  # noqa: N815  # the reactor's name for it


def install() -> None:
    """Make it this process's reactor."""
    installReactor(QuickReactor())  # type: ignore[no-untyped-call]  # Twisted has no types here
