"""Files by the IM API: the same as every client's."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.harness.client import segment
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (80, 60), "teal").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def room(server: Server, ann: ImUser, ben: ImUser) -> str:
    return server.drive(ann.befriends(ben))


async def test_a_picture_is_uploaded_sent_and_seen(ann: ImUser, ben: ImUser, room: str) -> None:
    data = picture()
    made = await ann.stock.request(
        "POST", "/im/v1/media", raw=data, headers={"Content-Type": "image/png"}, query={"filename": "a.png"}
    )
    assert made["info"] == {"mimetype": "image/png", "size": len(data), "name": "a.png"}
    media = {"url": made["mxc"], "width": 80, "height": 60, "mimetype": "image/png", "size": len(data)}
    sent = await ann.says(room, "look", type="image", media=media)
    shown = await ben.call("GET", f"/messages/{sent['event_id']}")
    assert (shown["type"], shown["media"]["url"], shown["media"]["width"]) == ("image", made["mxc"], 80)
    got = await ben.stock.ask("GET", made["url"])
    assert (got.status, got.body, got.headers["content-type"]) == (200, data, "image/png")
    assert (await ben.stock.downloads(made["mxc"])).body == data
    size = {"width": 32, "height": 32, "method": "crop"}
    small = await ben.stock.ask("GET", f"{made['url']}/thumbnail", query=size)
    assert small.status == 200 and Image.open(io.BytesIO(small.body)).size == (32, 32)
    # A stock client's upload is the facade's as well.
    uri = await ben.stock.uploads(b"text", content_type="text/plain")
    stock = await ann.stock.ask("GET", "/im/v1/media/" + uri.removeprefix("mxc://"))
    assert stock.body == b"text"


async def test_what_is_forwarded_is_the_same_file(
    server: Server, ann: ImUser, ben: ImUser, cat: ImUser, room: str
) -> None:
    other = await ann.befriends(cat)
    uri = await ann.stock.uploads(picture(), content_type="image/png")
    sent = await ann.says(room, "look", type="image", media={"url": uri})
    await ann.call("POST", f"/messages/{sent['event_id']}/forward", {"to": [other]})
    (shown,) = (await cat.history(other, limit=1))["items"]
    assert shown["media"]["url"] == uri


async def test_bad_files_are_refused(server: Server, ann: ImUser, room: str) -> None:
    nobody = server.client()
    assert (await nobody.ask("GET", "/im/v1/media/one.test/abc")).status == 401
    assert (await nobody.ask("POST", "/im/v1/media", raw=b"x")).status == 401
    with refused("M_NOT_FOUND", 404):
        await ann.call("GET", "/media/one.test/nothing")
    with refused("M_INVALID_PARAM", 400):
        await ann.call("GET", f"/media/one.test/{segment('../../etc')}")
    with refused("M_INVALID_PARAM", 400):
        await ann.call("GET", "/media/one.test/abc/thumbnail", width="wide", height=1)
    too_large = b"x" * (server.config.media.max_upload_size + 1)
    answer = await ann.stock.ask("POST", "/im/v1/media", raw=too_large)
    assert answer.errcode == "M_TOO_LARGE"
