"""Media between servers: two parts, however they are cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.wire.multipart import MediaParts, boundary_of, build_head, build_tail
from homeserver.errors import RemoteError


class Received:
    def __init__(self, boundary: bytes = b"xyz") -> None:
        self.head: dict[str, str] | None = None
        self.data = b""
        self.parts = MediaParts(boundary, self._on_head, self._on_data)

    def _on_head(self, head: dict[str, str]) -> None:
        assert self.head is None
        self.head = head

    def _on_data(self, data: bytes) -> None:
        self.data += data

    def read(self, body: bytes, cuts: list[int] | None = None) -> Received:
        edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts or [])})
        for start, end in pairwise(edges):
            self.parts.feed(body[start:end])
        self.parts.finish()
        return self


@given(
    st.binary(max_size=200).filter(lambda data: b"--xyz" not in data),
    st.lists(st.integers(0, 500), max_size=20),
)
def test_media_survives_any_cut(media: bytes, cuts: list[int]) -> None:
    body = build_head(b"xyz", {"Content-Type": "image/png"}) + media + build_tail(b"xyz")
    received = Received().read(body, cuts)
    assert received.head == {"content-type": "image/png"}
    assert received.data == media


def test_a_boundary_that_is_only_a_beginning_is_data() -> None:
    media = b"\r\n--xyzzy is not a boundary\r\n--xy"
    body = build_head(b"xyz", {}) + media + build_tail(b"xyz")
    assert Received().read(body).data == media


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n--xyz\r\n\r\n{}\r\n--xyz\r\nLocation: https://cdn.test/1\r\n\r\n\r\n--xyz--",
        b"--xyz\r\n\r\n{}\r\n--xyz\r\nLocation: https://cdn.test/1\r\n\r\n--xyz--\r\n",
        b"--xyz  \r\nX: y\r\n\r\n{}\r\n--xyz\t\r\nlocation:https://cdn.test/1\r\n\r\n\r\n--xyz--\r\nepilogue",
    ],
)
def test_a_location_instead_of_media(body: bytes) -> None:
    for cuts in ([], list(range(len(body)))):
        received = Received().read(body, cuts)
        assert received.head == {"location": "https://cdn.test/1"} | (received.head or {})
        assert received.data == b""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--xyz--\r\n",
        b"--xyz\r\n\r\n{}\r\n--xyz--\r\n",
        b"--xyz\r\n\r\n{}\r\n--xyz\r\n\r\nmedia",
        b"--xyz\r\n\r\n{}\r\n--xyz\r\n\r\na\r\n--xyz\r\n\r\nb\r\n--xyz--\r\n",
        b"--xyz\r\n" + b"x" * 10_000,
        b"--xyz\r\n\r\n" + b"{" * 70_000 + b"\r\n--xyz\r\n\r\na\r\n--xyz--\r\n",
        b"--xyz" + b" " * 10_000,
    ],
)
def test_anything_but_two_parts_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteError):
        Received().read(body)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/mixed; boundary=abc", b"abc"),
        ('Multipart/Mixed; boundary="a b"', b"a b"),
        ("multipart/mixed", None),
        ("multipart/mixed; boundary=" + "a" * 71, None),
        ("image/png; boundary=abc", None),
        ("", None),
    ],
)
def test_boundaries(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


def test_a_header_cannot_smuggle_another() -> None:
    head = build_head(b"xyz", {"Content-Disposition": 'inline; filename="a\r\nLocation: https://evil.test"'})
    assert Received().read(head + build_tail(b"xyz")).head is not None
    assert b"\r\nLocation" not in head
