"""Whose word is taken on where a request comes from, and what is written about it."""

from __future__ import annotations

import pytest

from homeserver.http.access import redact
from homeserver.http.proxies import TrustedProxies
from tests.fixtures.reactor import VirtualReactor
from tests.unit.http.served import Served, get

PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"])


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (b"203.0.113.5", "203.0.113.5"),
        (b"1.1.1.1, 203.0.113.5", "203.0.113.5"),
        (b"1.1.1.1, 203.0.113.5, 10.2.3.4", "203.0.113.5"),
        (b"10.1.1.1, 10.2.3.4", "10.1.1.1"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        (b"unknown", "127.0.0.1"),
        (b"1.1.1.1, unknown, 10.2.3.4", "10.2.3.4"),
        (b"", "127.0.0.1"),
    ],
)
def test_the_client_is_the_first_that_is_no_proxy_from_the_end(forwarded: bytes, client: str) -> None:
    assert PROXIES.client_of("127.0.0.1", {b"x-forwarded-for": forwarded}) == client


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("10.255.0.1", True),
        ("fd00::1%eth0", True),
        ("unix", True),
        ("192.0.2.1", False),
        ("::1", False),
        ("nonsense", False),
    ],
)
def test_proxies_are_listed(address: str, trusted: bool) -> None:
    assert PROXIES.is_trusted(address) is trusted


def test_only_a_listed_proxy_is_believed(reactor: VirtualReactor) -> None:
    served = Served(reactor, trusted_proxies=("192.0.2.9",), request_id_header="X-Request-Id")
    headers = ("X-Forwarded-For: 203.0.113.5", "X-Request-Id: abc")
    served.ask(get("/plain", *headers), "192.0.2.9")
    served.ask(get("/plain", *headers), "192.0.2.8")
    first, second = served.access_lines().splitlines()
    assert "INFO - abc - 203.0.113.5 - " in first
    assert "INFO - GET-2 - 192.0.2.8 - " in second


@pytest.mark.parametrize(
    ("query", "written"),
    [
        ("limit=3", "limit=3"),
        ("access_token=secret", "access_token=<redacted>"),
        ("a=1&access_token=se%20cret&b=2", "a=1&access_token=<redacted>&b=2"),
        (
            "loginToken=x&client_secret=y&code=z",
            "loginToken=<redacted>&client_secret=<redacted>&code=<redacted>",
        ),
        ("access%5Ftoken=secret", "<redacted>"),
        ("filter=%7B%7D&since=s1", "filter=%7B%7D&since=s1"),
        ("unstate=1", "unstate=1"),
    ],
)
def test_secrets_stay_out_of_the_log(query: str, written: str) -> None:
    assert redact(query) == written


def test_a_user_agent_cannot_forge_a_line(reactor: VirtualReactor) -> None:
    served = Served(reactor)
    served.ask(get("/plain", 'User-Agent: a" [0 dbevts]\x85\x1b[31m'))
    (line,) = served.access_lines().split("\n")[:-1]
    assert line.endswith('"a\' [0 dbevts]\\xc2\\x85\\x1b[31m" [0 dbevts]')
