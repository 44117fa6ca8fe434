"""How a client finds out where it is."""

from __future__ import annotations

from tests.harness.refusals import refused
from tests.harness.server import Server


async def test_anybody_may_ask_what_the_server_speaks(server: Server) -> None:
    answer = await server.client().request("GET", "/_matrix/client/versions")
    assert {"v1.1", "v1.11", "v1.19"} <= set(answer["versions"])


async def test_unknown_paths_and_methods_are_refused_by_name(server: Server) -> None:
    with refused("M_UNRECOGNIZED", 404):
        await server.client().request("GET", "/_matrix/client/v3/no/such/thing")
    with refused("M_UNRECOGNIZED", 405):
        await server.client().request("DELETE", "/_matrix/client/versions")


async def test_browsers_may_ask_from_anywhere(server: Server) -> None:
    preflight = await server.client().ask("OPTIONS", "/_matrix/client/v3/sync")
    assert preflight.status in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
