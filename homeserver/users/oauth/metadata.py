"""What clients say of themselves, and which of it is believed.

A client proves who it is by the redirect URIs that it controls, so these must be of the host of its `client_uri`.
Spec: https://spec.matrix.org/v1.19/client-server-api/#client-metadata
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from homeserver.users.oauth.errors import OAuthError

AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105  # the name of a grant
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS = (AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE)

_MAX_URI = 2000
_MAX_URIS = 20
_MAX_NAME = 200
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_is_uri = re.compile(r"[\x21\x23-\x3B\x3D\x3F-\x5B\x5D\x5F\x61-\x7A\x7E]+").fullmatch
_is_host = re.compile(r"[0-9a-z.-]+").fullmatch


class ClientMetadata(msgspec.Struct, frozen=True, omit_defaults=False):
    """A client, as far as this server understands it."""

    client_uri: str
    client_name: str | None = None
    logo_uri: str | None = None
    tos_uri: str | None = None
    policy_uri: str | None = None
    redirect_uris: tuple[str, ...] = ()
    response_types: tuple[str, ...] = ("code",)
    grant_types: tuple[str, ...] = (AUTHORIZATION_CODE,)
    token_endpoint_auth_method: str = "none"  # noqa: S105  # the name of a method
    application_type: str = "web"

    @property
    def name(self) -> str:
        """What people are told."""
        return self.client_name or self.host

    @property
    def host(self) -> str:
        """Where it is from, which cannot be made up as its name can."""
        return urlsplit(self.client_uri).hostname or ""

    def allows_redirect(self, uri: str) -> bool:
        """Whether answers may go to `uri`: a registered one, at any port if it is of the loopback interface."""
        if uri in self.redirect_uris:
            return True
        parts = _split(uri)
        if parts is None or parts.scheme != "http" or parts.hostname not in _LOOPBACK or "@" in parts.netloc:
            return False
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return parts._replace(netloc=host).geturl() in self.redirect_uris

    def answer(self) -> dict[str, Any]:
        """The metadata as they were registered."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in found.items() if value is not None}


def parse_metadata(given: Mapping[str, Any]) -> ClientMetadata:
    """What a client registers with; values that are not understood are left out.

    Raises:
        OAuthError: a value may not be what it is.
    """
    client_uri = _text(given, "client_uri")
    if client_uri is None:
        raise _wrong("client_uri is missing")
    base = _https(client_uri, "client_uri")
    pages: dict[str, str | None] = {}
    for key in ("logo_uri", "tos_uri", "policy_uri"):
        uri = _text(given, key)
        if uri is not None:
            _check_below(_https(uri, key), base, key)
        pages[key] = uri
    application_type = _text(given, "application_type") or "web"
    if application_type not in ("web", "native"):
        raise _wrong("application_type must be web or native")
    method = _text(given, "token_endpoint_auth_method") or "none"
    if method != "none":
        raise _wrong("token_endpoint_auth_method must be none: every client is a public client")
    grants = tuple(one for one in _texts(given, "grant_types", (AUTHORIZATION_CODE,)) if one in GRANTS)
    responses = tuple(one for one in _texts(given, "response_types", ("code",)) if one == "code")
    redirects = _texts(given, "redirect_uris", ())
    for uri in redirects:
        _check_redirect(uri, base, is_native=application_type == "native")
    if AUTHORIZATION_CODE in grants:
        if not redirects:
            raise OAuthError("invalid_redirect_uri", "redirect_uris: the authorisation code grant needs one")
        if not responses:
            raise _wrong("response_types: the authorisation code grant needs code")
    name = _text(given, "client_name")
    return ClientMetadata(
        client_uri=client_uri,
        client_name=None if name is None else name[:_MAX_NAME],
        redirect_uris=redirects,
        response_types=responses,
        grant_types=grants,
        application_type=application_type,
        logo_uri=pages["logo_uri"],
        tos_uri=pages["tos_uri"],
        policy_uri=pages["policy_uri"],
    )


def _check_redirect(uri: str, base: SplitResult, *, is_native: bool) -> None:
    """The rules for redirect URIs.

    Spec: https://spec.matrix.org/v1.19/client-server-api/#redirect-uri-validation
    """

    def refuse(reason: str) -> OAuthError:
        return OAuthError("invalid_redirect_uri", f"{uri[:200]!r}: {reason}")

    parts = _split(uri)
    if parts is None:
        raise refuse("this is no URI")
    if "#" in uri:
        raise refuse("a redirect URI may not have a fragment")
    if parts.scheme == "https":
        if "@" in parts.netloc:
            raise refuse("a redirect URI may not have a user")
        if not _is_below(parts, base):
            raise refuse("it must be on the host of client_uri")
    elif not is_native:
        raise refuse("a web client's redirect URI must be https")
    elif parts.scheme == "http":
        if parts.hostname not in _LOOPBACK or "@" in parts.netloc:
            raise refuse("only the loopback interface may be reached by http")
        if parts.netloc not in ("localhost", "127.0.0.1", "[::1]"):
            raise refuse("it may not have a port: any will do")
    else:
        if parts.netloc or uri[len(parts.scheme) + 1 :].startswith("//"):
            raise refuse("a private-use scheme has no authority")
        reverse = ".".join(reversed((base.hostname or "").split(".")))
        if parts.scheme != reverse and not parts.scheme.startswith(f"{reverse}."):
            raise refuse(f"its scheme must begin with {reverse}")


def _https(uri: str, key: str) -> SplitResult:
    parts = _split(uri)
    if parts is None or parts.scheme != "https" or not parts.hostname or not _is_host(parts.hostname):
        raise _wrong(f"{key} must be an https URL")
    if "@" in parts.netloc:
        raise _wrong(f"{key} may not have a user")
    return parts


def _check_below(parts: SplitResult, base: SplitResult, key: str) -> None:
    if not _is_below(parts, base):
        raise _wrong(f"{key} must be on the host of client_uri, or on a subdomain")


def _is_below(parts: SplitResult, base: SplitResult) -> bool:
    host, of = parts.hostname or "", base.hostname or ""
    return _is_host(host) is not None and (host == of or host.endswith(f".{of}"))


def _split(uri: str) -> SplitResult | None:
    if len(uri) > _MAX_URI or not _is_uri(uri):
        return None
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme else None


def _text(given: Mapping[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value:
        raise _wrong(f"{key} must be a string")
    return value


def _texts(given: Mapping[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = given.get(key)
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(f"{key} must be a list of strings")
    if len(value) > _MAX_URIS:
        raise _wrong(f"{key} has more than {_MAX_URIS} items")
    return tuple(dict.fromkeys(value))


def _wrong(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)
