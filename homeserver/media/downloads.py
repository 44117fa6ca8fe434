"""Finding files and reading them: those of this server, and those of others that are copied for it.

Spec: https://spec.matrix.org/v1.19/client-server-api/#content-repository
"""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.errors import NotFound
from homeserver.ids import ServerName
from homeserver.media.arrivals import Arrivals
from homeserver.media.files import FileChunks, MediaFiles
from homeserver.media.mxc import Mxc
from homeserver.media.remote import RemoteCopies
from homeserver.media.stores import blob_name
from homeserver.runtime.clock import Clock
from storage import media
from storage.database import Database
from storage.media import MediaFlag, MediaRow

DEFAULT_WAIT_MS = 20_000
MAX_WAIT_MS = 60_000
TOUCHED_FOR_MS = 3_600_000
"""How exactly it is known when somebody last looked at a file: each look must not cost a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks for a file, and how.

    `payer` is on whose account a fetch from another server goes. Those who are not `is_authenticated` see what
    was there before the freeze.
    """

    payer: str
    is_authenticated: bool = True
    may_fetch: bool = True
    timeout_ms: int = DEFAULT_WAIT_MS


class Downloads:
    """Gives files out."""

    def __init__(
        self,
        db: Database,
        files: MediaFiles,
        arrivals: Arrivals,
        copies: RemoteCopies,
        clock: Clock,
        *,
        server_name: ServerName,
        is_frozen: bool,
    ) -> None:
        """`is_frozen` is whether what comes from now on needs authentication."""
        self._db = db
        self._files = files
        self._arrivals = arrivals
        self._copies = copies
        self._clock = clock
        self._server_name = server_name
        self._is_frozen = is_frozen

    def is_own(self, mxc: Mxc) -> bool:
        """Whether it is this server's."""
        return mxc.server_name == self._server_name

    async def load(self, mxc: Mxc, asking: Asking) -> MediaRow:
        """What is known of a file that is here now.

        Raises:
            NotFound: there is none, or not for who asks.
            NotYetUploaded: there will be one.
            RemoteTooLarge: another server's is larger than what we take.
            LimitExceeded: who asks has made us fetch too much.
            RemoteError: the other server does not answer as it should.
        """
        row = await self._db.read(media.find, *mxc)
        if row is None and not self.is_own(mxc):
            row = await self._fetch(mxc, asking)
        row = self._check_served(row, mxc, asking)
        if row.digest is None:
            await self._wait(row, mxc, asking)
            row = self._check_served(await self._db.read(media.find, *mxc), mxc, asking)
        now_ms = self._clock.now_ms()
        if now_ms - row.used_ms > TOUCHED_FOR_MS:
            await self._db.run(media.touch, *mxc, now_ms)
        return row

    async def open(self, row: MediaRow, *, start: int = 0, length: int) -> FileChunks:
        """Its bytes.

        Raises:
            NotFound: they are gone, as they may be after a restore; another server's copy is fetched again then.
        """
        name = blob_name(row.digest or "")
        try:
            return await self._files.open(name, start=start, length=length)
        except FileNotFoundError:
            if row.origin != self._server_name:
                await self._db.run(media.delete, row.origin, row.media_id)
            raise NotFound("the file is gone") from None

    async def _fetch(self, mxc: Mxc, asking: Asking) -> MediaRow | None:
        if not asking.may_fetch or (self._is_frozen and not asking.is_authenticated):
            return None
        return await self._copies.fetch(mxc, _wait_ms(asking), payer=asking.payer)

    async def _wait(self, row: MediaRow, mxc: Mxc, asking: Asking) -> None:
        if row.expires_ms is not None and row.expires_ms <= self._clock.now_ms():
            raise NotFound("nobody has uploaded it in time")
        await self._arrivals.wait_for(mxc, _wait_ms(asking))

    def _check_served(self, row: MediaRow | None, mxc: Mxc, asking: Asking) -> MediaRow:
        if row is None:
            raise NotFound(f"there is no {mxc}")
        if row.flags & MediaFlag.QUARANTINED:
            raise NotFound(f"there is no {mxc}")
        if row.flags & MediaFlag.AUTHENTICATED and not asking.is_authenticated:
            raise NotFound(f"{mxc} is only served to those who are logged in")
        return row


def _wait_ms(asking: Asking) -> int:
    return min(max(asking.timeout_ms, 0), MAX_WAIT_MS)
