"""A listener serves the families of endpoints that it names, and those that Synapse's names include."""

from __future__ import annotations

import pytest

from homeserver.app.server import Homeserver
from tests.harness.server import Server

PATHS = {
    "client": "/_matrix/client/versions",
    "keys": "/_matrix/key/v2/server",
    "health": "/health",
}


def served(homeserver: Homeserver, *families: str) -> set[str]:
    router = homeserver.router_of(frozenset(families))
    return {family for family, path in PATHS.items() if router.methods(path)}


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ((), {"client", "keys", "health"}),
        (("client",), {"client", "health"}),
        (("federation",), {"keys", "health"}),
        (("metrics",), {"health"}),
    ],
)
def test_a_listener_serves_what_it_names(
    quick_server: Server, families: tuple[str, ...], expected: set[str]
) -> None:
    assert served(quick_server.homeserver, *families) == expected
