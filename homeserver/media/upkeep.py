"""What is done for media now and then: files that nobody looks at go, if the configuration says after how long."""

from __future__ import annotations

from typing import Any

import structlog
from twisted.internet.defer import Deferred

from config.media import MediaConfig
from homeserver.ids import ServerName
from homeserver.media.deletion import Deletion
from homeserver.media.files import MediaFiles
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks

EVERY_S = 3600.0

_log = structlog.get_logger(__name__)


class Upkeep:
    """Runs once an hour; what it has not done when the server stops it does after the next start."""

    def __init__(
        self,
        files: MediaFiles,
        deletion: Deletion,
        clock: Clock,
        tasks: Tasks,
        config: MediaConfig,
        *,
        server_name: ServerName,
    ) -> None:
        self._files = files
        self._deletion = deletion
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        retention = config.media_retention
        self._lifetimes = [
            (lifetime_ms, local)
            for lifetime_ms, local in (
                (retention.local_media_lifetime_ms, True),
                (retention.remote_media_lifetime_ms, False),
            )
            if lifetime_ms is not None
        ]
        self._running: Deferred[Any] | None = None

    async def start(self) -> None:
        """Throw away what was coming in when the server stopped, and begin."""
        await self._files.clear_spool()
        if self._lifetimes:
            self._running = self._tasks.spawn("media upkeep", self._run())

    def stop(self) -> None:
        """Do no more."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        while True:
            await self.sweep()
            await self._clock.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Delete what is too old; how much it was."""
        deleted = 0
        for lifetime_ms, local in self._lifetimes:
            before_ms = self._clock.now_ms() - lifetime_ms
            deleted += await self._deletion.delete_unused(before_ms, self._server_name, local=local)
        if deleted:
            _log.info("deleted media that nobody has looked at for long", files=deleted)
        return deleted
