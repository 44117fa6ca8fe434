"""Thumbnails of what was uploaded."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tests.conformance.validator import Answer
from tests.features.media.pictures import animation, bomb, picture, saved, seen
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.user import User

PATH = "/_matrix/client/v1/media/thumbnail/"


async def thumbnail(user: User, uri: str, width: int = 96, height: int = 96, **query: Any) -> Answer:
    asked = {"width": width, "height": height, **query}
    return await user.ask("GET", PATH + uri.removeprefix("mxc://"), query=asked)


async def test_a_scaled_thumbnail_fits(alice: User) -> None:
    uri = await alice.uploads(picture(1000, 500), content_type="image/png")
    answer = await thumbnail(alice, uri, 300, 200, method="scale")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == "inline; filename=thumbnail.jpeg"
    assert seen(answer.body).size == (320, 160)


async def test_a_cropped_thumbnail_fills(alice: User) -> None:
    uri = await alice.uploads(picture(1000, 500), content_type="image/png")
    assert seen((await thumbnail(alice, uri, 90, 90, method="crop")).body).size == (96, 96)


async def test_a_small_picture_is_not_enlarged(alice: User) -> None:
    uri = await alice.uploads(picture(20, 10), content_type="image/png")
    assert seen((await thumbnail(alice, uri, 800, 600)).body).size == (20, 10)


async def test_what_is_transparent_stays_so(alice: User) -> None:
    uri = await alice.uploads(
        saved(Image.new("RGBA", (200, 200), (0, 0, 0, 0)), "PNG"), content_type="image/png"
    )
    answer = await thumbnail(alice, uri)
    assert answer.headers["content-type"] == "image/png"
    assert seen(answer.body).getpixel((5, 5)) == (0, 0, 0, 0)


async def test_the_orientation_is_applied_and_the_rest_of_the_metadata_dropped(alice: User) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "where I live"
    uri = await alice.uploads(picture(800, 400, "JPEG", exif=exif), content_type="image/jpeg")
    answer = await thumbnail(alice, uri, 320, 240, method="scale")
    assert seen(answer.body).size == (120, 240)
    assert not seen(answer.body).getexif()
    assert b"where I live" not in answer.body


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
async def test_an_animation_moves_only_where_it_is_asked_to(alice: User, kind: str) -> None:
    uri = await alice.uploads(animation(kind=kind), content_type=f"image/{kind.lower()}")
    still = await thumbnail(alice, uri)
    assert getattr(seen(still.body), "n_frames", 1) == 1
    moving = await thumbnail(alice, uri, animated="true")
    assert moving.headers["content-type"] == "image/webp"
    assert getattr(seen(moving.body), "n_frames", 1) == 3


async def test_a_thumbnail_is_made_once(alice: User) -> None:
    uri = await alice.uploads(picture(), content_type="image/png")
    first, again = await thumbnail(alice, uri), await thumbnail(alice, uri, 90, 90)
    assert first.headers["etag"] == again.headers["etag"]
    known = {"If-None-Match": first.headers["etag"]}
    path = PATH + uri.removeprefix("mxc://")
    answer = await alice.ask("GET", path, query={"width": 96, "height": 96}, headers=known)
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"no picture at all", "image/png"),
        (picture()[:300], "image/png"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (picture(), "application/octet-stream"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "image/x-eps"),
        (b"", "image/png"),
    ],
)
async def test_what_is_no_picture_has_no_thumbnail(alice: User, data: bytes, content_type: str) -> None:
    uri = await alice.uploads(data, content_type=content_type)
    answer = await thumbnail(alice, uri)
    assert (answer.status, answer.errcode) == (400, "M_UNKNOWN")


@pytest.mark.parametrize("data", [bomb(), bomb(33_000, 1025)])
async def test_a_decompression_bomb_is_refused_before_it_is_decoded(alice: User, data: bytes) -> None:
    uri = await alice.uploads(data, content_type="image/png")
    answer = await thumbnail(alice, uri)
    assert (answer.status, answer.errcode) == (413, "M_TOO_LARGE")


@pytest.mark.parametrize(
    "query",
    [
        {"width": -1},
        {"width": 0},
        {"width": "wide"},
        {"method": "stretch"},
        {"width": 10**9},
        {"animated": "perhaps"},
    ],
)
async def test_what_makes_no_sense_is_refused(alice: User, query: dict[str, Any]) -> None:
    uri = await alice.uploads(picture(), content_type="image/png")
    answer = await thumbnail(alice, uri, **query)
    assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")


async def test_old_clients_get_thumbnails_on_the_same_terms(make_server: ServerFactory) -> None:
    server = make_server(enable_authenticated_media=False)
    alice = await server.user("alice")
    good = await alice.uploads(picture(), content_type="image/png")
    bad = await alice.uploads(bomb(), content_type="image/png")
    query = {"width": 48, "height": 48}
    answer = await server.client().ask("GET", f"/_matrix/media/v3/thumbnail/{good[6:]}", query=query)
    assert answer.status == 200
    with refused("M_TOO_LARGE", 413):
        await server.client().request("GET", f"/_matrix/media/v3/thumbnail/{bad[6:]}", query=query)


async def test_the_size_that_is_asked_for_must_be_said(alice: User) -> None:
    with refused("M_MISSING_PARAM", 400):
        await alice.request("GET", PATH + "one.test/abc")


async def test_a_server_may_make_no_thumbnails(make_server: ServerFactory) -> None:
    server = make_server(thumbnail_sizes=[])
    alice = await server.user("alice")
    uri = await alice.uploads(picture(), content_type="image/png")
    assert (await thumbnail(alice, uri)).errcode == "M_UNKNOWN"
