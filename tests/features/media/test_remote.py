"""Media between two servers, each of which signs what it asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from federation.outbound.media import ThumbnailSize
from federation.outbound.transport import RemoteRequest
from federation.wire.multipart import build_head, build_tail
from homeserver.app.federation import Outside
from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer, AnswerTooLarge, OpenSink
from homeserver.runtime.clock import Clock
from tests.features.media.pictures import bomb, picture, seen
from tests.fixtures.databases import Engine, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User
from tests.harness.wire import Connection, format_request

V1 = "/_matrix/client/v1/media"
LEGACY = "/_matrix/media/v3"
TEXT = b"from the other side"


class Links:
    """A network in memory of which the servers are part. `scripted` answers for servers that are only that."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.scripted: dict[str, dict[str, Answer]] = {}
        self.asked: list[str] = []

    async def request(self, request: RemoteRequest) -> Answer:
        path = request.uri.partition("?")[0]
        if "/media/" in path:
            self.asked.append(path)
        if request.destination in self.scripted:
            return self._deliver(
                self.scripted[request.destination].get(path, unrecognized()),
                request.max_bytes,
                request.open_sink,
            )
        if request.destination not in self.servers:
            raise RemoteError(f"{request.destination} is not there")
        message = format_request(request.method, request.uri, dict(request.headers), request.body or b"")
        answer = await Connection(self.servers[request.destination]).send(message)
        given = Answer(answer.status, answer.headers, answer.body)
        return self._deliver(given, request.max_bytes, request.open_sink)

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        timeout_ms: int,
        max_bytes: int,
        max_redirects: int,
        open_sink: OpenSink | None = None,
    ) -> Answer:
        self.asked.append(url)
        return self._deliver(self.scripted["cdn"][url], max_bytes, open_sink)

    @staticmethod
    def _deliver(answer: Answer, max_bytes: int, open_sink: OpenSink | None) -> Answer:
        if len(answer.body) > max_bytes:
            raise AnswerTooLarge(max_bytes)
        if open_sink is None or answer.status != 200:
            return answer
        sink = open_sink(Answer(answer.status, answer.headers))
        for start in range(0, len(answer.body), 1000):
            sink(answer.body[start : start + 1000])
        return Answer(answer.status, answer.headers)


def unrecognized() -> Answer:
    return Answer(404, {"content-type": "application/json"}, b'{"errcode":"M_UNRECOGNIZED","error":"?"}')


def multipart(data: bytes, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = build_head(b"line", named) + data + build_tail(b"line")
    return Answer(200, {"content-type": "multipart/mixed; boundary=line"}, body)


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def one(reactor: VirtualReactor, engine: Engine, links: Links) -> Iterator[Server]:
    yield from running(Server(reactor, engine, name="one.test", seed=1, max_upload_size="1M"), links)


@pytest.fixture
def two(reactor: VirtualReactor, tmp_path: Path, links: Links) -> Iterator[Server]:
    path = tmp_path / "two.db"
    path.write_bytes(schema_image())
    yield from running(Server(reactor, SqliteEngine(str(path)), name="two.test", seed=2), links)


def running(server: Server, links: Links) -> Iterator[Server]:
    links.servers[server.name] = server
    server.outside = Outside(links, links)
    server.reactor.drive(server.starts())
    yield server
    server.reactor.drive(server.stops())


@pytest.fixture
def alice(one: Server) -> User:
    return one.drive(one.user("alice"))


@pytest.fixture
def bob(two: Server) -> User:
    return two.drive(two.user("bob"))


async def test_a_file_is_fetched_once_and_kept(alice: User, bob: User, links: Links) -> None:
    uri = await bob.uploads(TEXT, content_type="text/plain", filename="Grüße.txt")
    for _ in range(2):
        answer = await alice.downloads(uri)
        assert (answer.status, answer.body) == (200, TEXT)
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["content-disposition"] == "inline; filename*=utf-8''Gr%C3%BC%C3%9Fe.txt"
    assert len(links.asked) == 1


async def test_who_asks_at_the_same_time_causes_one_request(alice: User, bob: User, links: Links) -> None:
    uri = await bob.uploads(TEXT)
    asking: list[Deferred[Any]] = [Deferred.fromCoroutine(alice.downloads(uri)) for _ in range(5)]
    answers = await gatherResults(asking)
    assert {answer.body for answer in answers} == {TEXT}
    assert len(links.asked) == 1


async def test_thumbnails_of_others_pictures_are_made_here(alice: User, bob: User) -> None:
    uri = await bob.uploads(picture(), content_type="image/png")
    answer = await alice.ask(
        "GET", f"{V1}/thumbnail/{uri[6:]}", query={"width": 96, "height": 96, "method": "crop"}
    )
    assert seen(answer.body).size == (96, 96)


async def test_a_bomb_from_elsewhere_is_refused(alice: User, bob: User) -> None:
    uri = await bob.uploads(bomb(), content_type="image/png")
    with refused("M_TOO_LARGE", 502):
        await alice.request("GET", f"{V1}/thumbnail/{uri[6:]}", query={"width": 96, "height": 96})


NAMED = "/name.txt"
THUMBNAIL = {"width": "9", "height": "9"}


async def test_what_the_other_server_does_not_have(alice: User, bob: User) -> None:
    await check_what_it_does_not_have(alice, bob, V1)


async def test_what_it_does_not_have_is_not_there_for_old_clients_either(
    reactor: VirtualReactor, engine: Engine, links: Links, bob: User
) -> None:
    server = Server(reactor, engine, name="one.test", max_upload_size="1M", enable_authenticated_media=False)
    links.servers["one.test"] = server
    server.outside = Outside(links, links)
    await server.starts()
    await check_what_it_does_not_have(await server.user("alice"), bob, LEGACY)
    await server.stops()


async def check_what_it_does_not_have(alice: User, bob: User, api: str) -> None:
    place = str((await bob.request("POST", "/_matrix/media/v1/create"))["content_uri"])[6:]
    large = (await bob.uploads(bytes(1_100_000)))[6:]
    for what, name in (("download", ""), ("download", NAMED), ("thumbnail", "")):
        query = THUMBNAIL if what == "thumbnail" else {}
        for media, errcode, status in (
            ("two.test/nothing", "M_NOT_FOUND", 404),
            (place, "M_NOT_YET_UPLOADED", 504),
            (large, "M_TOO_LARGE", 502),
            ("three.test/nothing", "M_UNKNOWN", 502),
        ):
            with refused(errcode, status):
                await alice.request("GET", f"{api}/{what}/{media}{name}", query={**query, "timeout_ms": 1000})


async def test_after_the_freeze_nothing_is_fetched_for_those_who_are_not_logged_in(
    one: Server, bob: User, links: Links
) -> None:
    uri = await bob.uploads(TEXT)
    with refused("M_NOT_FOUND", 404):
        await one.client().request("GET", f"{LEGACY}/download/{uri[6:]}")
    assert links.asked == []


async def test_a_request_that_is_not_signed_gets_nothing(one: Server, alice: User) -> None:
    uri = await alice.uploads(picture(), content_type="image/png")
    media_id = uri.rpartition("/")[2]
    for path in (f"download/{media_id}", f"thumbnail/{media_id}?width=9&height=9"):
        with refused("M_UNAUTHORIZED", 401):
            await one.client().request("GET", f"/_matrix/federation/v1/media/{path}")


async def test_thumbnails_for_other_servers(two: Server, bob: User, alice: User, one: Server) -> None:
    uri = await bob.uploads(picture(), content_type="image/png")
    media = one.homeserver.federation.media
    got: list[Any] = []

    def open_media(head: Any) -> Any:
        got.append(head)
        return got.append

    await media.thumbnail(
        two.config.server.server_name,
        uri.rpartition("/")[2],
        ThumbnailSize(96, 96, "crop"),
        timeout_ms=1000,
        max_bytes=100_000,
        open_media=open_media,
    )
    assert got[0].content_type == "image/jpeg"
    assert got[0].content_disposition == "inline; filename=thumbnail.jpeg"
    assert seen(b"".join(got[1:])).size == (96, 96)


async def test_a_user_may_only_make_us_fetch_so_much(
    reactor: VirtualReactor, engine: Engine, links: Links, bob: User
) -> None:
    rates: dict[str, Any] = {"enable_rate_limits": True}
    rates |= {"remote_media_download_per_second": "100K", "remote_media_download_burst_count": "1M"}
    server = Server(reactor, engine, name="one.test", **rates, prevent_media_downloads_from=["Evil.test"])
    links.servers["one.test"] = server
    server.outside = Outside(links, links)
    await server.starts()
    alice = await server.user("alice")
    first, second = await bob.uploads(b"a" * 2_000_000), await bob.uploads(b"b")
    assert (await alice.downloads(first)).status == 200
    with refused("M_LIMIT_EXCEEDED", 429):
        await alice.request("GET", f"{V1}/download/{second[6:]}")
    assert (await alice.downloads(first)).status == 200
    await server.passes(20)
    assert (await alice.downloads(second)).status == 200
    links.asked.clear()
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"{V1}/download/evil.test/abc")
    assert links.asked == []
    await server.stops()


# Servers of other kinds.


async def test_an_old_server_is_asked_in_the_old_way(alice: User, links: Links) -> None:
    path = f"{LEGACY}/download/old.test/abc"
    links.scripted["old.test"] = {path: Answer(200, {"content-type": "text/css"}, TEXT)}
    answer = await alice.downloads("mxc://old.test/abc")
    assert (answer.body, answer.headers["content-type"]) == (TEXT, "text/css")
    assert links.asked == ["/_matrix/federation/v1/media/download/abc", path]


async def test_a_file_may_be_elsewhere(alice: User, links: Links) -> None:
    place = "https://cdn.test/x?signature=y"
    links.scripted["new.test"] = {"/_matrix/federation/v1/media/download/abc": multipart(b"", Location=place)}
    links.scripted["cdn"] = {place: Answer(200, {"content-type": "image/png"}, TEXT)}
    assert (await alice.downloads("mxc://new.test/abc")).body == TEXT


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"content-type": "text/plain"}, TEXT),
        Answer(200, {"content-type": "multipart/mixed; boundary=line"}, b"--line\r\n\r\n{}\r\n"),
        Answer(200, {"content-type": "multipart/mixed; boundary=line"}, b""),
        Answer(500, {}, b"oops"),
    ],
)
async def test_what_is_malformed_is_not_kept(one: Server, alice: User, links: Links, answer: Answer) -> None:
    links.scripted["new.test"] = {"/_matrix/federation/v1/media/download/abc": answer}
    with refused("M_UNKNOWN", 502):
        await alice.request("GET", f"{V1}/download/new.test/abc")
    assert [path for path in one.config.media.media_store_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("content_type", "disposition", "type_here", "disposition_here"),
    [
        ("text/html", "inline; filename=x.html", "text/html", "attachment; filename=x.html"),
        ("nonsense", 'attachment; filename="../../etc/passwd"', "application/octet-stream", None),
        ("image/png", "inline", "image/png", "inline"),
    ],
)
async def test_what_another_server_says_is_not_believed_blindly(
    alice: User,
    links: Links,
    content_type: str,
    disposition: str,
    type_here: str,
    disposition_here: str | None,
) -> None:
    answer = multipart(TEXT, Content_Type=content_type, Content_Disposition=disposition)
    links.scripted["new.test"] = {"/_matrix/federation/v1/media/download/abc": answer}
    got = await alice.downloads("mxc://new.test/abc")
    assert got.headers["content-type"] == type_here
    assert disposition_here is None or got.headers["content-disposition"] == disposition_here
    assert got.headers["content-disposition"].startswith(
        "attachment" if disposition_here != "inline" else "inline"
    )


async def test_a_copy_that_has_vanished_is_fetched_again(
    one: Server, alice: User, bob: User, clock: Clock
) -> None:
    uri = await bob.uploads(TEXT)
    await alice.downloads(uri)
    for path in one.config.media.media_store_path.rglob("*"):
        if path.is_file():
            path.unlink()
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"{V1}/download/{uri[6:]}")
    assert (await alice.downloads(uri)).body == TEXT
