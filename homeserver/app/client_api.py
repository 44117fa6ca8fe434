"""The handlers of the client-server API."""

from __future__ import annotations

from config import Config
from homeserver.app.well_known import client_file, policy_file, server_file, support_file
from homeserver.client_api.versions import VersionEndpoints
from homeserver.client_api.well_known import WellKnownEndpoints

BEYOND_RELEASES = (
    "org.matrix.simplified_msc3575",
    "org.matrix.msc3881",
    "org.matrix.msc4140",
    "org.matrix.msc4306",
)
"""Flags of open proposals that this server serves."""


def client_handlers(config: Config) -> list[object]:
    """Everything under `/_matrix/client`, and the well-known files."""
    return [
        VersionEndpoints(features=BEYOND_RELEASES),
        WellKnownEndpoints(
            client=client_file(config),
            server=server_file(config),
            support=support_file(config),
            policy=policy_file(config),
        ),
    ]
