"""Request signatures: the headers that we write and those that we can read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.wire.x_matrix import Credentials, build_header, parse_headers, sign_request, verify_request
from homeserver.errors import InvalidSignature, Unauthorized
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.signatures import SigningKey, decode_base64
from homeserver.ids import ServerName

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "vectors.json").read_text())
KEY = SigningKey.of("1", decode_base64(VECTORS["signing"]["seed_base64"]))
ORIGIN, OTHER = ServerName("origin.test"), ServerName("other.test:8080")


@pytest.mark.parametrize("vector", VECTORS["derived"]["x_matrix_request"])
def test_headers_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    request = vector["request_json"]
    content = request.get("content")
    body = None if content is None else encode_canonical(content, strict=False)
    header = sign_request(
        method=request["method"],
        uri=request["uri"],
        origin=request["origin"],
        destination=request["destination"],
        content=body,
        key=KEY,
    )
    assert header == vector["header"]
    (credentials,) = parse_headers(header)
    verify_request(
        credentials,
        method=request["method"],
        uri=request["uri"],
        content=body,
        public_key=KEY.public,
    )


@pytest.mark.parametrize(
    "header",
    [
        'X-Matrix origin="origin.test",destination="other.test:8080",key="ed25519:1",sig="c2ln"',
        'x-matrix   origin="origin.test",destination="other.test:8080",key="ed25519:1",sig="c2ln"',
        "X-Matrix origin=origin.test,destination=other.test:8080,key=ed25519:1,sig=c2ln",
        'X-Matrix sig="c2ln"\t , KEY="ed25519:1",unknown="a,b\\"c",Destination="other.test:8080" ,origin="origin.test"',
        'X-Matrix origin="origin\\.test",destination="other.test:8080",key="ed25519:1",signature="c2ln"',
        'X-Matrix ,,origin = "origin.test", destination = other.test:8080,, key=ed25519:1,sig="c2ln",',
    ],
)
def test_every_form_of_rfc_9110_is_read(header: str) -> None:
    assert parse_headers(header) == [Credentials(ORIGIN, OTHER, "ed25519:1", "c2ln")]


def test_several_signatures_may_be_joined() -> None:
    one = Credentials(ORIGIN, OTHER, "ed25519:1", "c2ln")
    two = Credentials(ORIGIN, None, "ed25519:2", "bzI=")
    assert parse_headers(f"{build_header(one)}, {build_header(two)}") == [one, two]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer abc",
        "X-Matrix",
        "X-Matrix ",
        'X-Matrix origin="origin.test"',
        'X-Matrix origin="origin.test",key="ed25519:1"',
        'X-Matrix origin="",key="ed25519:1",sig="c2ln"',
        'X-Matrix origin="not a name",key="ed25519:1",sig="c2ln"',
        'X-Matrix origin="origin.test" key="ed25519:1",sig="c2ln"',
        'X-Matrix origin="a.test",origin="b.test",key="ed25519:1",sig="c2ln"',
        'X-Matrix origin="origin.test,key="ed25519:1",sig="c2ln"',
        "X-Matrix origin=,key=ed25519:1,sig=c2ln",
        "X-Matrix =origin.test",
        "X-Matrix origin",
        'X-Matrix origin="origin.test",key="ed25519:1",sig="c2ln"' + "," * 9000,
    ],
)
def test_what_is_no_signature_is_refused(header: str) -> None:
    with pytest.raises(Unauthorized):
        parse_headers(header)


@given(st.text(max_size=200))
def test_no_header_breaks_the_parser(text: str) -> None:
    for header in (text, "X-Matrix " + text, 'X-Matrix origin="a.test",key="ed25519:1",sig="' + text):
        with suppress(Unauthorized):
            parse_headers(header)


names = st.from_regex(r"[a-z][a-z0-9.-]{0,20}(:[0-9]{1,4})?", fullmatch=True).map(ServerName)


@given(names, st.none() | names, st.text("abcXYZ0189_", min_size=1), st.text("abc+/=", min_size=1))
def test_what_is_written_is_read_again(
    origin: ServerName, destination: ServerName | None, version: str, signature: str
) -> None:
    written = Credentials(origin, destination, f"ed25519:{version}", signature)
    assert parse_headers(build_header(written)) == [written]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "POST"},
        {"uri": "/_matrix/federation/v1/send/2"},
        {"uri": "/_matrix/federation/v1/send/1?"},
        {"content": b'{"pdus":[1]}'},
        {"content": None},
    ],
)
def test_every_part_of_the_request_is_signed(change: dict[str, Any]) -> None:
    request: dict[str, Any] = {
        "method": "PUT",
        "uri": "/_matrix/federation/v1/send/1",
        "content": b'{"pdus":[]}',
    }
    (credentials,) = parse_headers(sign_request(**request, origin=ORIGIN, destination=OTHER, key=KEY))
    verify_request(credentials, **request, public_key=KEY.public)
    with pytest.raises(InvalidSignature):
        verify_request(credentials, **{**request, **change}, public_key=KEY.public)
    for forged in (
        Credentials(OTHER, OTHER, credentials.key_id, credentials.signature),
        Credentials(ORIGIN, ORIGIN, credentials.key_id, credentials.signature),
        Credentials(ORIGIN, None, credentials.key_id, credentials.signature),
    ):
        with pytest.raises(InvalidSignature):
            verify_request(forged, **request, public_key=KEY.public)
