"""Those who wait for a file that is announced and not here yet."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from homeserver.errors import MatrixError
from homeserver.media.mxc import Mxc
from homeserver.runtime.clock import Clock


class NotYetUploaded(MatrixError):
    """The ID is reserved, and its file has not come in the time that the client gave."""

    status = 504
    errcode = "M_NOT_YET_UPLOADED"


class Arrivals:
    """Wakes those who wait for a file when it comes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Mxc, list[Deferred[None]]] = {}

    def arrived(self, mxc: Mxc) -> None:
        """The file is here."""
        for waiting in self._waiting.pop(mxc, ()):
            waiting.callback(None)

    async def wait_for(self, mxc: Mxc, timeout_ms: int) -> None:
        """Wait until it comes.

        Raises:
            NotYetUploaded: it did not in time.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(mxc, []).append(waiting)
        timer = self._clock.call_later(max(timeout_ms, 0) / 1000, self._give_up, mxc, waiting)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()

    def _give_up(self, mxc: Mxc, waiting: Deferred[None]) -> None:
        others = [other for other in self._waiting.get(mxc, ()) if other is not waiting]
        if others:
            self._waiting[mxc] = others
        else:
            self._waiting.pop(mxc, None)
        waiting.errback(NotYetUploaded("the file has not been uploaded yet"))
