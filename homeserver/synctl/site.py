"""One server on this machine: its configuration, and the files beside it that the command needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config import Config, ConfigError, load
from homeserver.synctl.errors import Refused


@dataclass(frozen=True, slots=True)
class Site:
    """A configuration and where it lies."""

    path: Path
    config: Config

    @classmethod
    def open(cls, path: Path) -> Site:
        """The site of a configuration file.

        Raises:
            Refused: there is none, or it is broken.
        """
        if not path.exists():
            raise Refused(f"{path} does not exist; `synctl generate-config` makes one")
        try:
            return cls(path.resolve(), load(path))
        except ConfigError as error:
            raise Refused(str(error)) from error

    @property
    def pid_file(self) -> Path:
        return self.config.server.pid_file

    @property
    def log_file(self) -> Path:
        """Where the background process writes its log."""
        return self.config.log.file or self.path.parent / "homeserver.log"

    @property
    def urls(self) -> list[str]:
        """Where the server is reached from this machine, the best first."""
        found = []
        for listener in self.config.listeners.listeners:
            if listener.port is None or listener.type == "metrics":
                continue
            wide = {"0.0.0.0", "::", "127.0.0.1", "::1"}  # noqa: S104 - compared, not bound
            host = "localhost" if wide & set(listener.bind_addresses) else listener.bind_addresses[0]
            found.append(f"{'https' if listener.tls else 'http'}://{host}:{listener.port}")
        return sorted(found, key=lambda url: url.startswith("https"))
