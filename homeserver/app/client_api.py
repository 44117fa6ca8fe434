"""The handlers of the client-server API."""

from __future__ import annotations

from config import Config
from homeserver.app.well_known import client_file, server_file, support_file
from homeserver.client_api.versions import VersionEndpoints
from homeserver.client_api.well_known import WellKnownEndpoints


def client_handlers(config: Config) -> list[object]:
    """Everything under `/_matrix/client`, and the well-known files."""
    return [
        VersionEndpoints(),
        WellKnownEndpoints(
            client=client_file(config), server=server_file(config), support=support_file(config)
        ),
    ]
