"""Heads of requests: what is read, and what no reader could agree on is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.http.head import BLOCKS_KEPT, CHUNKED, MAX_HEADERS, BadRequest, KnownBlocks, parse_head
from tests.fixtures.reactor import VirtualReactor
from tests.unit.http.served import Served, status_of


def test_a_head_is_read() -> None:
    head = parse_head(
        b"PUT /a%20b?c=d HTTP/1.1\r\nHost: x\r\nX-Odd:\t one \r\nx-odd: two\r\nContent-Length: 3"
    )
    assert (head.method, head.target, head.length, head.is_1_1) == ("PUT", "/a%20b?c=d", 3, True)
    assert head.headers == {b"host": b"x", b"x-odd": b"one, two", b"content-length": b"3"}


def test_an_absolute_target_is_taken_by_its_path() -> None:
    assert parse_head(b"GET HTTP://user@host:1/path?q HTTP/1.1\r\nHost: x").target == "/path?q"
    assert parse_head(b"GET http://host HTTP/1.1\r\nHost: x").target == "/"


def test_utf_8_in_a_target_is_taken_as_if_it_were_encoded() -> None:
    assert parse_head("GET /rooms/ü HTTP/1.1\r\nHost: x".encode()).target == "/rooms/%C3%BC"


def test_repeated_headers_are_read_once() -> None:
    known = KnownBlocks()
    first = parse_head(b"GET /a HTTP/1.1\r\nHost: x\r\nAccept: y", known)
    assert parse_head(b"GET /b HTTP/1.1\r\nHost: x\r\nAccept: y", known).headers is first.headers
    assert parse_head(b"GET /b HTTP/1.1\r\nHost: x\r\nAccept: z", known).headers[b"accept"] == b"z"
    assert parse_head(b"GET /a HTTP/1.0\r\nAccept: y", known).headers == {b"accept": b"y"}
    with pytest.raises(BadRequest):
        parse_head(b"GET /a HTTP/1.1\r\nAccept: y", known)


def test_the_oldest_headers_are_forgotten() -> None:
    known = KnownBlocks()
    first = parse_head(b"GET / HTTP/1.1\r\nHost: 0", known)
    for number in range(BLOCKS_KEPT):
        parse_head(b"GET / HTTP/1.1\r\nHost: %d" % number, known)
    assert parse_head(b"GET / HTTP/1.1\r\nHost: 0", known).headers is first.headers
    parse_head(b"GET / HTTP/1.1\r\nHost: one more", known)
    assert parse_head(b"GET / HTTP/1.1\r\nHost: 0", known).headers is not first.headers


def test_a_chunked_body_is_announced() -> None:
    assert parse_head(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked").length == CHUNKED


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.1 ",
        b"GET  / HTTP/1.1\r\nHost: x",
        b"GET /a b HTTP/1.1\r\nHost: x",
        b"G(T / HTTP/1.1\r\nHost: x",
        b"GET path HTTP/1.1\r\nHost: x",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: y",
        b"GET / HTTP/1.1\r\nHost : x",
        b"GET / HTTP/1.1\r\nHost",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon",
        b"GET / HTTP/1.1\r\nHost: x\r\n: nameless",
        b"GET / HTTP/1.1\r\nHost: x\nContent-Length: 1",
        b"GET / HTTP/1.1\r\nHost: x\rContent-Length: 1",
        b"GET / HTTP/1.1\r\nHost: x\0",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: ",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: \xb2",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nHost: x" + b"\r\na: b" * MAX_HEADERS,
    ],
)
def test_what_is_out_of_order_is_refused(head: bytes, reactor: VirtualReactor) -> None:
    with pytest.raises(BadRequest):
        parse_head(head)
    if head:
        peer = Served(reactor).connect()
        peer.send(head + b"\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = peer.take()
        assert status_of(answer) in (400, 431, 501)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert peer.is_closed


def test_a_head_without_end_is_refused(reactor: VirtualReactor) -> None:
    peer = Served(reactor).connect()
    for _ in range(40):
        peer.send(b"a" * 1000)
    assert status_of(peer.take()) == 431
    assert peer.is_closed


def test_malformed_chunks_are_refused(reactor: VirtualReactor) -> None:
    peer = Served(reactor).connect()
    peer.send(b"POST /any HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n")
    assert status_of(peer.take()) == 400
    assert peer.is_closed


@given(st.binary(max_size=200), st.integers(0, 3))
def test_whatever_comes_is_answered_or_waited_for(data: bytes, ends: int) -> None:
    peer = Served(VirtualReactor()).connect()
    peer.send(data + b"\r\n\r\n" * ends)
    answer = peer.take()
    assert not answer or answer.startswith(b"HTTP/1.1 ")


_TOKENS = st.text("abcdefXYZ-_!09", min_size=1, max_size=12)
_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@given(st.dictionaries(_TOKENS.map(str.lower), _VALUES, max_size=10))
def test_headers_survive(headers: dict[str, str]) -> None:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = parse_head("\r\n".join(["GET / HTTP/1.1", "Host: x", *lines]).encode())
    del head.headers[b"host"]
    assert head.headers == {name.encode(): value.encode() for name, value in headers.items()}
