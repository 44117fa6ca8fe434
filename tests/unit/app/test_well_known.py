"""The well-known files say what the configuration says."""

from __future__ import annotations

from typing import Any

import config
from homeserver.app.well_known import client_file, server_file, support_file


def parsed(**settings: Any) -> config.Config:
    return config.parse({"server_name": "one.test", **settings})


def test_without_a_public_address_there_is_nothing_to_point_at() -> None:
    assert client_file(parsed()) is None
    assert server_file(parsed(serve_server_wellknown=True)) is None
    assert support_file(parsed()) is None


def test_clients_are_told_where_to_go_and_what_else_there_is() -> None:
    transport = {"type": "livekit", "livekit_service_url": "https://rtc.one.test"}
    seen = client_file(
        parsed(
            public_baseurl="https://matrix.one.test",
            default_identity_server="https://id.one.test",
            matrix_rtc={"transports": [transport]},
            im={"force_disable_encryption": True},
            extra_well_known_client_content={"m.tile_server": {"map_style_url": "https://tiles.one.test"}},
        )
    )
    assert seen == {
        "m.homeserver": {"base_url": "https://matrix.one.test/"},
        "m.identity_server": {"base_url": "https://id.one.test"},
        "org.matrix.msc4143.rtc_foci": [transport],
        "io.element.e2ee": {"default": False, "force_disable": True},
        "m.tile_server": {"map_style_url": "https://tiles.one.test"},
    }


def test_servers_are_sent_to_the_public_port_if_the_operator_wants_it() -> None:
    assert server_file(parsed(public_baseurl="https://matrix.one.test")) is None
    told = {"serve_server_wellknown": True}
    assert server_file(parsed(public_baseurl="https://matrix.one.test", **told)) == "matrix.one.test:443"
    assert (
        server_file(parsed(public_baseurl="https://matrix.one.test:8448/", **told)) == "matrix.one.test:8448"
    )


def test_support_names_whom_to_turn_to() -> None:
    seen = support_file(
        parsed(support_contacts=[{"email_address": "a@one.test"}], support_page="https://one.test/help")
    )
    assert seen == {
        "contacts": [{"role": "m.role.admin", "email_address": "a@one.test"}],
        "support_page": "https://one.test/help",
    }
