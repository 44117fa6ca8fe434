"""Files: uploaded, downloaded, and what may not be done with them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.validator import Answer
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

TEXT = b"It was a dark and stormy night."
V1 = "/_matrix/client/v1/media"
LEGACY = "/_matrix/media/v3"


def place(uri: str) -> str:
    return uri.removeprefix("mxc://")


async def part(user: User, uri: str, wanted: str, **headers: str) -> Answer:
    return await user.downloads(uri, headers={"Range": wanted, **headers})


async def test_what_is_uploaded_can_be_downloaded(alice: User, bob: User) -> None:
    uri = await alice.uploads(TEXT, content_type="text/plain", filename="novel.txt")
    answer = await bob.downloads(uri)
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-disposition"] == "inline; filename=novel.txt"
    assert answer.headers["content-length"] == str(len(TEXT))


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 3_000_001])
async def test_a_file_comes_back_as_it_was(alice: User, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert (await alice.downloads(await alice.uploads(data))).body == data


async def test_a_body_in_chunks_is_a_file_too(alice: User) -> None:
    message = (
        f"POST {LEGACY}/upload HTTP/1.1\r\nHost: one\r\nAuthorization: Bearer {alice.access_token}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n5\r\nIt wa\r\n1a\r\n" + TEXT[5:].decode() + "\r\n0\r\n\r\n"
    )
    answer = await alice.connection().send(message.encode())
    assert (await alice.downloads(answer.json["content_uri"])).body == TEXT


async def test_a_name_may_be_given_when_downloading(alice: User) -> None:
    uri = await alice.uploads(TEXT, content_type="text/plain", filename="novel.txt")
    answer = await alice.downloads(uri, 'Über "uns".txt')
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''%C3%9Cber%20%22uns%22.txt"
    answer = await alice.downloads(uri, 'a "b" c.txt')
    assert answer.headers["content-disposition"] == r'inline; filename="a \"b\" c.txt"'


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("text/html", b"<script>alert(document.cookie)</script>"),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("application/xhtml+xml", b"<html/>"),
        ("application/pdf", b"%PDF-1.7"),
        ("text/javascript", b"alert(1)"),
        ("text/plain+html", b"?"),
    ],
)
async def test_what_could_act_is_only_ever_saved(alice: User, content_type: str, data: bytes) -> None:
    uri = await alice.uploads(data, content_type=content_type, filename="x.html")
    answer = await alice.downloads(uri)
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-disposition"] == "attachment; filename=x.html"
    assert answer.headers["content-security-policy"].startswith(
        "sandbox; default-src 'none'; script-src 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize(
    "content_type",
    [None, "nonsense", "text/html, text/plain", "a/b; c", "x" * 300 + "/y", 'text/"plain"', "é/é"],
)
async def test_a_type_that_is_none_is_unknown(alice: User, content_type: str | None) -> None:
    answer = await alice.downloads(await alice.uploads(TEXT, content_type=content_type))
    # The harness names a type where none is given.
    expected = "application/json" if content_type is None else "application/octet-stream"
    assert answer.headers["content-type"] == expected


async def test_a_file_has_no_name_that_breaks_out_of_its_header(alice: User) -> None:
    uri = await alice.uploads(TEXT, content_type="text/plain", filename="a\r\nSet-Cookie: b=c\0.txt")
    answer = await alice.downloads(uri)
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-disposition"] == 'inline; filename="aSet-Cookie: b=c.txt"'


# Parts of files.


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-3", 0, 3),
        ("bytes=5-", 5, 30),
        ("bytes=-4", 27, 30),
        ("bytes=30-99", 30, 30),
        ("bytes=-99", 0, 30),
    ],
)
async def test_a_part_is_served(alice: User, wanted: str, first: int, last: int) -> None:
    answer = await part(alice, await alice.uploads(TEXT), wanted)
    assert (answer.status, answer.body) == (206, TEXT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/31"


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "bytes=-", "bytes=4-2", "lines=1-2", "bytes=a-b"])
async def test_a_part_that_is_not_understood_is_all(alice: User, wanted: str) -> None:
    answer = await part(alice, await alice.uploads(TEXT), wanted)
    assert (answer.status, answer.body) == (200, TEXT)


@pytest.mark.parametrize("wanted", ["bytes=31-", "bytes=1000-2000", "bytes=-0"])
async def test_a_part_that_does_not_exist_is_refused(alice: User, wanted: str) -> None:
    answer = await part(alice, await alice.uploads(TEXT), wanted)
    assert answer.status == 416
    assert answer.headers["content-range"] == "bytes */31"


async def test_a_part_of_another_version_is_all(alice: User) -> None:
    uri = await alice.uploads(TEXT)
    etag = (await alice.downloads(uri)).headers["etag"]
    assert (await part(alice, uri, "bytes=0-3", **{"If-Range": etag})).status == 206
    assert (await part(alice, uri, "bytes=0-3", **{"If-Range": '"other"'})).status == 200


async def test_who_has_it_already_is_told_so(alice: User) -> None:
    uri = await alice.uploads(TEXT)
    etag = (await alice.downloads(uri)).headers["etag"]
    answer = await alice.downloads(uri, headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")


async def test_a_head_has_no_body(alice: User) -> None:
    answer = await alice.ask("HEAD", f"{V1}/download/{place(await alice.uploads(TEXT))}")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "31")


# Who may.


async def test_only_those_who_are_logged_in_upload_and_download(server: Server, alice: User) -> None:
    uri = await alice.uploads(TEXT)
    nobody = server.client()
    for method, path in (
        ("POST", f"{LEGACY}/upload"),
        ("POST", "/_matrix/media/v1/create"),
        ("PUT", f"{LEGACY}/upload/{place(uri)}"),
        ("GET", f"{V1}/download/{place(uri)}"),
        ("GET", f"{V1}/download/{place(uri)}/name"),
        ("GET", f"{V1}/thumbnail/{place(uri)}"),
        ("GET", f"{V1}/config"),
        ("GET", f"{LEGACY}/config"),
        ("GET", f"{V1}/preview_url"),
        ("GET", f"{LEGACY}/preview_url"),
    ):
        with refused("M_MISSING_TOKEN", 401):
            await nobody.request(method, path, raw=b"x" if method != "GET" else None)


async def test_a_guest_downloads_and_does_not_upload(make_server: ServerFactory) -> None:
    server = make_server(allow_guest_access=True)
    alice, guest = await server.user("alice"), await server.guest()
    uri = await alice.uploads(TEXT)
    assert (await guest.downloads(uri)).body == TEXT
    with refused("M_GUEST_ACCESS_FORBIDDEN", 403):
        await guest.uploads(TEXT)


async def test_the_old_paths_have_what_was_there_before_the_freeze(server: Server, alice: User) -> None:
    uri = await alice.uploads(TEXT)
    for path in (f"{LEGACY}/download/{place(uri)}", f"{LEGACY}/download/{place(uri)}/n.txt"):
        with refused("M_NOT_FOUND", 404):
            await alice.request("GET", path)
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"{LEGACY}/thumbnail/{place(uri)}", query={"width": 9, "height": 9})
    with refused("M_NOT_FOUND", 404):
        await server.client().request("GET", f"{LEGACY}/download/elsewhere.test/abc")


async def test_the_freeze_is_the_operators_choice(make_server: ServerFactory) -> None:
    server = make_server(enable_authenticated_media=False)
    alice = await server.user("alice")
    uri = await alice.uploads(TEXT, content_type="text/plain")
    for version in ("v3", "r0", "v1"):
        answer = await server.client().ask("GET", f"/_matrix/media/{version}/download/{place(uri)}")
        assert (answer.status, answer.body) == (200, TEXT)
        assert answer.headers["content-security-policy"].startswith("sandbox")
    answer = await server.client().ask("GET", f"{LEGACY}/download/{place(uri)}/named.txt")
    assert answer.headers["content-disposition"] == "inline; filename=named.txt"


# Limits.


async def test_the_largest_file_is_told_and_enforced(make_server: ServerFactory) -> None:
    server = make_server(max_upload_size="1K")
    alice = await server.user("alice")
    assert await alice.request("GET", f"{V1}/config") == {"m.upload.size": 1024}
    assert await alice.request("GET", f"{LEGACY}/config") == {"m.upload.size": 1024}
    await alice.uploads(b"x" * 1024)
    with refused("M_TOO_LARGE", 413):
        await alice.uploads(b"x" * 1025)
    head = f"POST {LEGACY}/upload HTTP/1.1\r\nHost: one\r\nAuthorization: Bearer {alice.access_token}\r\n"
    chunk = "400\r\n" + "x" * 1024 + "\r\n"
    body = f"{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    answer = await server.client().connection().send(body.encode())
    assert (answer.status, answer.errcode) == (413, "M_TOO_LARGE")


@pytest.mark.parametrize(
    "settings", [{"media_quota": 100}, {"media_upload_limits": [{"time_period": "1h", "max_size": 100}]}]
)
async def test_a_user_may_only_have_so_much(make_server: ServerFactory, settings: dict[str, Any]) -> None:
    server = make_server(**settings)
    alice, bob = await server.user("alice"), await server.user("bob")
    await alice.uploads(b"x" * 60)
    with refused("M_FORBIDDEN", 403):
        await alice.uploads(b"y" * 60)
    await bob.uploads(b"y" * 60)
    await alice.uploads(b"z" * 40)
    await server.passes(3700)
    if "media_quota" in settings:
        with refused("M_FORBIDDEN", 403):
            await alice.uploads(b"0" * 40)
    else:
        await alice.uploads(b"0" * 40)


async def test_what_was_refused_leaves_nothing_behind(make_server: ServerFactory) -> None:
    server = make_server(media_quota=100)
    alice = await server.user("alice")
    with refused("M_FORBIDDEN", 403):
        await alice.uploads(b"y" * 160)
    root = server.config.media.media_store_path
    assert [path for path in root.rglob("*") if path.is_file()] == []


# IDs.


@pytest.mark.parametrize(
    "media_id",
    [
        "..%2F..%2F..%2Fetc%2Fpasswd",
        "%2e%2e",
        "..",
        "a%00b",
        "a%2Fb",
        "ümlaut",
        "a" * 256,
        "a.b",
        "%252e%252e",
    ],
)
async def test_no_id_leads_out_of_the_store(alice: User, media_id: str) -> None:
    for path in (
        f"{V1}/download/one.test/",
        f"{V1}/download/elsewhere.test/",
        f"{LEGACY}/download/one.test/",
    ):
        answer = await alice.ask("GET", path + media_id)
        assert (answer.status, answer.errcode) in ((400, "M_INVALID_PARAM"), (404, "M_UNRECOGNIZED"))
    answer = await alice.ask("PUT", f"{LEGACY}/upload/one.test/{media_id}", raw=b"x")
    assert answer.status in (400, 404)


@pytest.mark.parametrize(
    "server_name", ["one.test%2F..", "..", "a b", "user@one.test", "one.test%00", "[::1"]
)
async def test_no_server_name_is_anything_else(alice: User, server_name: str) -> None:
    answer = await alice.ask("GET", f"{V1}/download/{server_name}/abc")
    assert answer.status in (400, 404, 502)


async def test_what_nobody_has_uploaded_is_not_there(alice: User) -> None:
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"{V1}/download/one.test/abcdef")


async def test_a_file_that_has_vanished_from_the_disk_is_not_there(server: Server, alice: User) -> None:
    uri = await alice.uploads(TEXT)
    for path in server.config.media.media_store_path.rglob("*"):
        if path.is_file():
            path.unlink()
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"{V1}/download/{place(uri)}")


async def test_equal_files_are_kept_once(server: Server, alice: User, bob: User) -> None:
    first, second = await alice.uploads(TEXT), await bob.uploads(TEXT, filename="mine")
    assert first != second
    files = [path for path in server.config.media.media_store_path.rglob("*") if path.is_file()]
    assert len(files) == 1


async def test_files_outlive_the_process(server: Server, alice: User) -> None:
    uri = await alice.uploads(TEXT)
    await server.restarts()
    assert (await alice.downloads(uri)).body == TEXT


async def test_a_client_that_breaks_off_leaves_nothing(server: Server, alice: User) -> None:
    connection = alice.connection()
    connection.send_raw(
        f"POST {LEGACY}/upload HTTP/1.1\r\nHost: one\r\nAuthorization: Bearer {alice.access_token}\r\n"
        "Content-Length: 1000000\r\n\r\n".encode()
        + b"x" * 500_000
    )
    await server.passes(1)
    connection.hang_up()
    await server.passes(1)
    assert [path for path in server.config.media.media_store_path.rglob("*") if path.is_file()] == []


async def test_previews_are_off_unless_the_operator_wants_them(alice: User) -> None:
    with refused("M_UNRECOGNIZED", 404):
        await alice.request("GET", f"{V1}/preview_url", query={"url": "http://cakes.test/"})
