"""The Authorization header with which servers sign their requests.

The signed object covers method, path with query, both server names and the body; the names are those before
delegation. Spec: https://spec.matrix.org/v1.19/server-server-api/#request-authentication
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from homeserver.errors import InvalidSignature, Unauthorized
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.signatures import SigningKey, sign_bytes, verify_bytes
from homeserver.ids import ServerName, is_server_name

SCHEME = "X-Matrix"
MAX_HEADER_LENGTH = 8192
"""Several signatures fit; nothing honest is longer."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SPACE = re.compile(r"[ \t]*")
_SCHEME = re.compile(r"x-matrix +", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
# COMPAT(old servers): they send values with colons without quotes; base64 brings `/` and `=`.
_BARE = re.compile(r"[^ \t,\"]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """One signature of a request: who made it, with which key, and for whom."""

    origin: ServerName
    destination: ServerName | None
    key_id: str
    signature: str


def signed_request(
    *, method: str, uri: str, origin: str, destination: str | None, content: bytes | None
) -> bytes:
    """The canonical JSON that a request's signature covers. `content` is the body's canonical JSON."""
    # The keys stand in canonical order, so the body need not be encoded a second time.
    parts = []
    if content is not None:
        parts.append(b'"content":' + content)
    if destination is not None:
        parts.append(b'"destination":' + _string(destination))
    parts += (b'"method":' + _string(method), b'"origin":' + _string(origin), b'"uri":' + _string(uri))
    return b"{" + b",".join(parts) + b"}"


def sign_request(
    *,
    method: str,
    uri: str,
    origin: ServerName,
    destination: ServerName,
    content: bytes | None,
    key: SigningKey,
) -> str:
    """The value of the Authorization header of this request."""
    message = signed_request(method=method, uri=uri, origin=origin, destination=destination, content=content)
    return build_header(Credentials(origin, destination, key.key_id, sign_bytes(message, key)))


def build_header(credentials: Credentials) -> str:
    """The header in the form that every server can read: one space, lower case, everything quoted."""
    values = [("origin", str(credentials.origin))]
    if credentials.destination is not None:
        values.append(("destination", str(credentials.destination)))
    # COMPAT(specification): its text calls this one `signature`, its examples and every server `sig`.
    values += [("key", credentials.key_id), ("sig", credentials.signature)]
    return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in values)


def verify_request(
    credentials: Credentials, *, method: str, uri: str, content: bytes | None, public_key: bytes
) -> None:
    """Whether the key's owner has signed this request. `content` is the body's canonical JSON.

    Raises:
        InvalidSignature: it has not.
    """
    message = signed_request(
        method=method,
        uri=uri,
        origin=credentials.origin,
        destination=credentials.destination,
        content=content,
    )
    if not verify_bytes(message, credentials.signature, public_key):
        raise InvalidSignature(f"the request is not signed by {credentials.origin} with {credentials.key_id}")


def parse_headers(value: str) -> list[Credentials]:
    """Every X-Matrix credential of a request; several headers may have been joined by commas.

    Raises:
        Unauthorized: there is none, or one is malformed.
    """
    if len(value) > MAX_HEADER_LENGTH:
        raise Unauthorized("the Authorization header is too long")
    found = []
    position = 0
    while position < len(value):
        scheme = _SCHEME.match(value, position)
        if scheme is None:
            raise Unauthorized("the Authorization header is not of the form X-Matrix name=value,...")
        parameters, position = _parse_parameters(value, scheme.end())
        found.append(_credentials(parameters))
    if not found:
        raise Unauthorized("the request is not signed: there is no X-Matrix Authorization header")
    return found


def _parse_parameters(value: str, position: int) -> tuple[dict[str, str], int]:
    """The parameters up to the end or the next credentials, and where those begin."""
    parameters: dict[str, str] = {}
    while position < len(value):
        position = _skip_commas(value, position)
        if position >= len(value) or _SCHEME.match(value, position):
            break
        name = _TOKEN.match(value, position)
        if name is None:
            raise Unauthorized("a parameter of the Authorization header has no name")
        # "Bad" whitespace around the equals sign is for recipients to accept.
        position = _skip_space(value, name.end())
        if value[position : position + 1] != "=":
            raise Unauthorized(f"the parameter {name[0]} of the Authorization header has no value")
        position = _skip_space(value, position + 1)
        quoted = _QUOTED.match(value, position)
        if quoted is not None:
            text, position = re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
        else:
            bare = _BARE.match(value, position)
            if bare is None:
                raise Unauthorized(f"the parameter {name[0]} of the Authorization header has no value")
            text, position = bare[0], bare.end()
        after = _skip_space(value, position)
        if after < len(value) and value[after] != ",":
            raise Unauthorized("the parameters of the Authorization header are not separated by commas")
        position = after
        key = name[0].lower()
        if key in parameters:
            raise Unauthorized(f"the parameter {key} of the Authorization header occurs twice")
        parameters[key] = text
    return parameters, position


def _skip_space(value: str, position: int) -> int:
    space = _SPACE.match(value, position)
    return position if space is None else space.end()


def _skip_commas(value: str, position: int) -> int:
    position = _skip_space(value, position)
    while value[position : position + 1] == ",":
        position = _skip_space(value, position + 1)
    return position


def _credentials(parameters: dict[str, str]) -> Credentials:
    signature = parameters.get("sig", parameters.get("signature"))
    origin, key_id = parameters.get("origin"), parameters.get("key")
    if origin is None or key_id is None or signature is None:
        raise Unauthorized("the Authorization header lacks origin, key or sig")
    if not is_server_name(origin):
        raise Unauthorized(f"the origin {origin!r} is not a server name")
    destination = parameters.get("destination")
    return Credentials(
        ServerName(origin), None if destination is None else ServerName(destination), key_id, signature
    )


def _string(value: str) -> bytes:
    return encode_canonical(value, strict=False)
