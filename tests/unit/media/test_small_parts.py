"""The parts of media that need no server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.media import MediaConfig, ThumbnailSize
from homeserver.errors import InvalidParam, LimitExceeded
from homeserver.http.wire import Wire
from homeserver.media.answers import Unsatisfiable, parse_range
from homeserver.media.budget import ByteBudget
from homeserver.media.mxc import Mxc, check_media_id, parse_mxc
from homeserver.media.opengraph import parse_page
from homeserver.media.shapes import CannotThumbnail, choose_size
from homeserver.media.stores import blob_name
from homeserver.media.types import UNKNOWN, clean_filename, content_type_of, disposition, filename_of
from homeserver.runtime.clock import Clock


def size(width: int, height: int, method: str = "scale") -> ThumbnailSize:
    return ThumbnailSize(width=width, height=height, method=method)  # type: ignore[arg-type]  # one of the two


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (size(1, 1, "crop"), (32, 32, "crop")),
        (size(33, 20, "crop"), (96, 96, "crop")),
        (size(500, 500, "crop"), (96, 96, "crop")),
        (size(100, 100), (320, 240, "scale")),
        (size(321, 10), (640, 480, "scale")),
        (size(9999, 9999), (800, 600, "scale")),
    ],
)
def test_the_smallest_size_that_is_enough(wanted: ThumbnailSize, chosen: tuple[int, int, str]) -> None:
    found = choose_size(MediaConfig().thumbnail_sizes, wanted)
    assert (found.width, found.height, found.method) == chosen


def test_another_method_is_better_than_nothing() -> None:
    assert choose_size([size(320, 240)], size(32, 32, "crop")) == size(320, 240)
    with pytest.raises(CannotThumbnail):
        choose_size([], size(32, 32))


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mxc://",
        "mxc://a",
        "mxc://a/",
        "mxc:///b",
        "mxc://a/b/c",
        "mxc://a/b?c",
        "http://a/b",
        "mxc://a b/c",
        None,
        1,
    ],
)
def test_what_is_no_media_uri(uri: object) -> None:
    assert parse_mxc(uri) is None


def test_a_media_uri() -> None:
    mxc = parse_mxc("mxc://[::1]:8448/aB_-9")
    assert mxc == Mxc(mxc.server_name, "aB_-9") if mxc else False
    assert str(mxc) == "mxc://[::1]:8448/aB_-9"


@given(st.text())
def test_no_id_has_anything_of_a_path(media_id: str) -> None:
    try:
        check_media_id(media_id)
    except InvalidParam:
        return
    assert not set(media_id) & set("./\\%\0")


@given(st.text(max_size=300), st.text(max_size=50))
def test_a_disposition_is_a_header_and_keeps_the_name(name: str, content_type: str) -> None:
    cleaned = clean_filename(name)
    header = disposition(content_type_of(content_type), cleaned)
    headers = {"Content-Disposition": header, "Content-Type": content_type_of(content_type)}
    Wire(lambda: 0).head(200, headers, length=0, close=False)
    if cleaned and not any("\ud800" <= letter <= "\udfff" for letter in cleaned):
        assert filename_of(header) == cleaned.strip()


@pytest.mark.parametrize("said", ["text/html", "text/plain; charset=utf-8", 'a/b; c="d e"', "image/svg+xml;"])
def test_a_type_is_kept(said: str) -> None:
    assert content_type_of(said) == said.rstrip(";")


@pytest.mark.parametrize(
    "said", [None, "", "text", "text/", "/plain", "a/b\r\nc: d", "a/b, c/d", "a/b;c", "\x00/b"]
)
def test_what_is_no_type_is_unknown(said: str | None) -> None:
    assert content_type_of(said) == UNKNOWN


@given(st.text(max_size=40), st.integers(0, 1000))
def test_a_range_is_inside_the_file(value: str, length: int) -> None:
    for text in (value, f"bytes={value}"):
        try:
            found = parse_range(text, length)
        except Unsatisfiable:
            continue
        if found is not None:
            start, count = found
            assert 0 <= start < start + count <= length


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 30))
def test_a_range_is_what_it_says(first: int, last: int, length: int) -> None:
    data = bytes(range(length))
    try:
        found = parse_range(f"bytes={first}-{last}", length)
    except Unsatisfiable:
        assert first >= length
        return
    if found is None:
        assert last < first
    else:
        assert data[found[0] : found[0] + found[1]] == data[first : last + 1]


async def test_bytes_are_counted(clock: Clock) -> None:
    budget = ByteBudget(clock, per_second=100, burst=1000)
    budget.check("alice")
    budget.spend("alice", 1500)
    with pytest.raises(LimitExceeded) as refused:
        budget.check("alice")
    assert 5000 <= refused.value.retry_after_ms <= 6001
    budget.check("bob")
    await clock.sleep(6)
    budget.check("alice")
    unlimited = ByteBudget(clock, per_second=0, burst=0)
    unlimited.spend("alice", 10**12)
    unlimited.check("alice")


@given(
    st.binary(max_size=400),
    st.sampled_from(["", "; charset=utf-8", "; charset=utf-16", "; charset=punycode"]),
)
def test_any_page_can_be_read(page: bytes, charset: str) -> None:
    for data in (page, b"<html><head><title>" + page, b"<meta property='og:title' content='" + page + b"'>"):
        found = parse_page(data, "text/html" + charset, "http://a.test/b")
        assert all(isinstance(value, str) and len(value) <= 1000 for value in found.values() if value)


def test_no_entity_is_expanded() -> None:
    laughs = b"<!DOCTYPE lolz [<!ENTITY a 'ha'>" + b"".join(
        b"<!ENTITY a%d '&a%d;&a%d;&a%d;'>" % (n, n - 1, n - 1, n - 1) for n in range(1, 40)
    )
    assert len(str(parse_page(laughs + b"]><title>&a39;</title>", "text/html", "http://a.test"))) < 3000
    outer = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><title>&x;</title>'
    assert "root:" not in str(parse_page(outer, "text/html", "http://a.test"))


def test_a_blob_name_is_flat_enough() -> None:
    assert blob_name("0123456789") == "content/01/23/456789"
