"""How a client finds out where it is."""

from __future__ import annotations

from typing import Any

from tests.harness.fixtures import ServerFactory
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


async def test_well_known_files_are_there_once_the_operator_has_said_what_is_in_them(
    make_server: ServerFactory,
) -> None:
    key = "6yhHGKhCiXTSEN2ksjV7kX/N6rBQZ3Xb+M7LlC6NS+s"
    nobody = make_server(
        public_baseurl="https://matrix.one.test",
        serve_server_wellknown=True,
        support_page="https://one.test/help",
        policy_server_key=key,
    ).client()

    async def read(name: str) -> Any:
        return await nobody.request("GET", f"/.well-known/matrix/{name}")

    assert await read("client") == {"m.homeserver": {"base_url": "https://matrix.one.test/"}}
    assert await read("server") == {"m.server": "matrix.one.test:443"}
    assert await read("support") == {"support_page": "https://one.test/help"}
    assert await read("policy_server") == {"public_keys": {"ed25519": key}}


async def test_a_well_known_file_that_nobody_configured_is_not_there(server: Server) -> None:
    for name in ("client", "server", "support", "policy_server"):
        with refused("M_NOT_FOUND", 404):
            await server.client().request("GET", f"/.well-known/matrix/{name}")
