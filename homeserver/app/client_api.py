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


def features_of(config: Config) -> list[str]:
    """The flags of this server: some features there are only if the configuration has them."""
    optional = {
        # Another device is logged in by a code that one scans: its channel is of use with the device grant only.
        "org.matrix.msc4108": config.identity.oauth.enabled and config.identity.oauth.device_grant,
        "org.matrix.msc4143": bool(config.calls.matrix_rtc.transports),
    }
    return [*BEYOND_RELEASES, *(flag for flag, is_there in optional.items() if is_there)]


def client_handlers(config: Config) -> list[object]:
    """Everything under `/_matrix/client`, and the well-known files."""
    return [
        VersionEndpoints(features=features_of(config)),
        WellKnownEndpoints(
            client=client_file(config),
            server=server_file(config),
            support=support_file(config),
            policy=policy_file(config),
        ),
    ]
