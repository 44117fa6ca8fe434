"""Where the command finds a server, and how it names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import config
from homeserver.synctl.accounts import NewAccount
from homeserver.synctl.errors import Refused
from homeserver.synctl.generate import Wanted, generate
from homeserver.synctl.site import Site


def site(**settings: Any) -> Site:
    return Site(
        Path("/srv/homeserver.yaml"), config.parse({"server_name": "one.test", **settings}, base=Path("/srv"))
    )


def test_urls_are_those_that_work_on_this_machine() -> None:
    seen = site(
        listeners=[
            {"port": 8448, "tls": True, "bind_addresses": ["0.0.0.0"]},
            {"port": 8008, "bind_addresses": ["192.0.2.7"]},
            {"port": 9000, "type": "metrics"},
            {"path": "hearth.sock"},
        ],
        tls_certificate_path="c",
        tls_private_key_path="k",
    )
    assert seen.urls == ["http://192.0.2.7:8008", "https://localhost:8448"]


def test_the_log_is_where_the_configuration_says() -> None:
    assert site().log_file == Path("/srv/homeserver.log")
    assert site(log={"file": "log/hearth.log"}).log_file == Path("/srv/log/hearth.log")


def test_the_mac_is_the_one_that_other_tools_make() -> None:
    account = NewAccount("alice", "wonderland", is_admin=True)
    assert account.mac("nonce", "secret") == "186ac640bbc4921265a969fe17879e44815ed129"


@pytest.mark.parametrize("name", ["localhost", "one.test", "one.test:8448", "[::1]:8448", "1.2.3.4"])
def test_a_generated_configuration_can_be_used(tmp_path: Path, name: str) -> None:
    path = generate(Wanted(name, tmp_path / "data", 8123))
    seen = config.load(path)
    assert seen.server.server_name == name
    assert seen.listeners.listeners[0].port == 8123
    assert seen.registration.registration_shared_secret
    assert seen.keys.signing_key_path.exists()


def test_secrets_differ_from_server_to_server(tmp_path: Path) -> None:
    one, two = (config.load(generate(Wanted("one.test", tmp_path / name, 8123))) for name in ("one", "two"))
    assert one.registration.registration_shared_secret != two.registration.registration_shared_secret
    assert one.keys.signing_key_path.read_text() != two.keys.signing_key_path.read_text()


def test_a_site_without_a_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="generate-config"):
        Site.open(tmp_path / "homeserver.yaml")
