"""Which clients may register."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.users.oauth.errors import OAuthError
from homeserver.users.oauth.metadata import parse_metadata

BASE = {"client_uri": "https://example.com/", "redirect_uris": ["https://example.com/callback"]}


def parsed(**changes: Any) -> Any:
    return parse_metadata({**BASE, **changes})


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/callback",
        "https://app.example.com/callback",
        "https://example.com:5173/?query=value",
    ],
)
def test_redirects_of_web_clients(uri: str) -> None:
    assert parsed(redirect_uris=[uri]).allows_redirect(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/callback#fragment",
        "https://example.com/callback#",
        "http://example.com/callback",
        "http://localhost/",
        "https://user@example.com/",
        "https://example.com@evil.org/",
        "https://evilexample.com/",
        "https://example.com.evil.org/",
        "https://example.com\\.evil.org/",
        "com.example.app:/callback",
        "javascript:alert(1)",
        "not a uri",
        "",
        "https://[::1/",
        "https://example.com:99999/",
        "https://" + "a" * 3000 + ".example.com/",
    ],
)
def test_redirects_that_web_clients_may_not_have(uri: str) -> None:
    with pytest.raises(OAuthError) as refusal:
        parsed(redirect_uris=[uri])
    assert refusal.value.code == "invalid_redirect_uri"


@pytest.mark.parametrize(
    "uri",
    [
        "com.example.app:/callback",
        "com.example:/",
        "com.example:callback",
        "http://localhost/callback",
        "http://127.0.0.1/callback",
        "http://[::1]/callback",
        "https://example.com/claimed",
    ],
)
def test_redirects_of_native_clients(uri: str) -> None:
    assert parsed(redirect_uris=[uri], application_type="native").allows_redirect(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "example:/callback",
        "com.example.app://callback",
        "com.examples:/callback",
        "https://localhost/callback",
        "http://localhost:1234/callback",
        "http://user@localhost/callback",
        "http://localhost.evil.org/callback",
    ],
)
def test_redirects_that_native_clients_may_not_have(uri: str) -> None:
    with pytest.raises(OAuthError):
        parsed(redirect_uris=[uri], application_type="native")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_uri": None},
        {"client_uri": "http://example.com/"},
        {"client_uri": "https://user:pw@example.com/"},
        {"client_uri": 7},
        {"logo_uri": "https://elsewhere.org/logo.png"},
        {"logo_uri": "http://example.com/logo.png"},
        {"tos_uri": "https://x@example.com/"},
        {"policy_uri": "javascript:alert(1)"},
        {"redirect_uris": []},
        {"redirect_uris": "https://example.com/"},
        {"redirect_uris": [7]},
        {"response_types": ["token"]},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"application_type": "toaster"},
        {"client_name": ["x"]},
        {"client_name": "a\0b"},
    ],
)
def test_metadata_that_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(OAuthError):
        parsed(**changes)


def test_what_is_not_understood_is_left_out() -> None:
    answer = parsed(
        grant_types=[
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        **{"client_name": "App", "client_name#fr": "Appli", "jwks_uri": "https://example.com/jwks"},
    ).answer()
    assert answer["grant_types"] == ("authorization_code", "refresh_token")
    assert "client_name#fr" not in answer
    assert "jwks_uri" not in answer


def test_ports_are_only_free_on_the_loopback_interface() -> None:
    client = parsed(redirect_uris=["http://localhost/cb"], application_type="native")
    assert client.allows_redirect("http://localhost:8080/cb")
    assert not client.allows_redirect("http://localhost:8080/other")
    assert not client.allows_redirect("http://localhost:8080@evil.org/cb")
    assert not client.allows_redirect("http://127.0.0.1:8080/cb")
    assert not parsed().allows_redirect("https://example.com:444/callback")
