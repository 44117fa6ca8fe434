"""The client: what it sends, what it makes of answers, and whom it leaves alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from federation.outbound.backoff import BackingOff, Backoff
from federation.outbound.client import FederationClient
from federation.outbound.media import MediaHead, RemoteMedia, ThumbnailSize
from federation.outbound.policy import FederationPolicy, ServerDenied
from federation.outbound.requests import Refused, SignedRequests
from federation.outbound.transport import RemoteRequest
from federation.wire.multipart import build_head, build_tail
from federation.wire.x_matrix import parse_headers, verify_request
from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer
from homeserver.ids import EventID, RoomAlias, RoomID, ServerName, UserID
from homeserver.runtime.clock import Clock
from tests.unit.federation.conftest import OUR_KEY, US
from tests.unit.federation.network import MemoryNetwork, answer

THERE = ServerName("there.test")
ROOM = RoomID("!room/1:there.test")
EVENT = EventID("$event+1")
USER = UserID("@user:there.test")


class Other:
    """A server that gives one answer to everything, or one for each path."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[RemoteRequest] = []
        network.servers[THERE] = self._answer

    def says(
        self, content: Any, status: int = 200, *, to: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.answers[to] = answer(content, status, headers)

    async def _answer(self, request: RemoteRequest) -> Answer:
        self.requests.append(request)
        paths = [path for path in self.answers if path in request.uri]
        return self.answers[max(paths, key=len)]

    @property
    def last(self) -> RemoteRequest:
        return self.requests[-1]


@pytest.fixture
def other(network: MemoryNetwork) -> Other:
    return Other(network)


@pytest.fixture
def requests(
    network: MemoryNetwork, backoff: Backoff, policy: FederationPolicy, clock: Clock
) -> SignedRequests:
    return SignedRequests(
        network, backoff, policy, clock, server_name=US, signing_key=OUR_KEY, timeout_ms=60_000
    )


@pytest.fixture
def client(requests: SignedRequests) -> FederationClient:
    return FederationClient(requests)


async def test_requests_are_signed_as_they_are_sent(client: FederationClient, other: Other) -> None:
    other.says({"pdus": {}})
    await client.send_transaction(THERE, "a/b", b'{"pdus":[]}')
    sent = other.last
    assert sent.uri == "/_matrix/federation/v1/send/a%2Fb"
    (credentials,) = parse_headers(sent.headers["Authorization"])
    assert credentials.destination == THERE
    verify_request(credentials, method="PUT", uri=sent.uri, content=sent.body, public_key=OUR_KEY.public)


async def test_paths_and_queries_are_escaped(client: FederationClient, other: Other) -> None:
    other.says({"pdus": []})
    await client.backfill(THERE, ROOM, [EVENT, EventID("$two&")], 5)
    assert other.last.uri == (
        "/_matrix/federation/v1/backfill/%21room%2F1%3Athere.test?v=%24event%2B1&v=%24two%26&limit=5"
    )


async def test_each_method_asks_where_it_should(client: FederationClient, other: Other) -> None:
    template = {"event": {}, "room_version": "10"}
    lists = {
        "pdus": [{}],
        "auth_chain": [{}],
        "state": [{}],
        "events": [{}],
        "pdu_ids": ["$a"],
        "auth_chain_ids": [],
    }
    other.says(
        {**lists, **template, "knock_room_state": [], "one_time_keys": {}, "device_keys": {}, "chunk": []}
    )
    await client.make_join(THERE, ROOM, USER, ["9", "10"])
    assert other.last.uri.endswith("?ver=9&ver=10")
    await client.make_knock(THERE, ROOM, USER, ["10"])
    await client.make_leave(THERE, ROOM, USER)
    joined = await client.send_join(THERE, ROOM, EVENT, b"{}", omit_members=True)
    assert other.last.uri.endswith("?omit_members=true")
    assert [bytes(raw) for raw in joined.state] == [b"{}"]
    await client.send_knock(THERE, ROOM, EVENT, b"{}")
    await client.send_leave(THERE, ROOM, EVENT, b"{}")
    await client.invite(THERE, ROOM, EVENT, {}, room_version="10", room_state=[])
    assert json.loads(other.last.body or b"") == {"event": {}, "room_version": "10"}
    await client.exchange_third_party_invite(THERE, ROOM, {"type": "m.room.member"})
    assert await client.get_missing_events(THERE, ROOM, earliest=[EVENT], latest=[EVENT]) == [{}]
    assert await client.get_event(THERE, EVENT) == {}
    assert await client.get_event_auth(THERE, ROOM, EVENT) == [{}]
    await client.get_room_state_ids(THERE, ROOM, EVENT)
    await client.query_profile(THERE, USER, "displayname")
    assert other.last.uri.endswith("query/profile?user_id=%40user%3Athere.test&field=displayname")
    await client.query(THERE, "x", {"a": "b"})
    await client.get_public_rooms(THERE, limit=5)
    assert other.last.uri.endswith("publicRooms?limit=5")
    await client.query_public_rooms(THERE, {"limit": 5})
    await client.query_user_keys(THERE, {USER: []})
    await client.claim_user_keys(THERE, {USER: {"DEVICE": "signed_curve25519"}})
    other.says({"user_id": USER, "stream_id": 5, "devices": []})
    assert (await client.get_user_devices(THERE, USER)).stream_id == 5
    other.says({"room_id": ROOM, "servers": ["a.test"]})
    assert (await client.query_directory(THERE, RoomAlias("#a:there.test"))).servers == ["a.test"]
    other.says({"event_id": EVENT, "origin_server_ts": 5})
    assert (await client.get_event_by_timestamp(THERE, ROOM, 5, "b")).event_id == EVENT
    assert other.last.uri.endswith("?ts=5&dir=b")
    other.says({"room": {}, "children": [], "inaccessible_children": []})
    await client.get_space_hierarchy(THERE, ROOM, suggested_only=False)
    assert other.last.uri.endswith("?suggested_only=false")
    other.says({THERE: {"ed25519:policy_server": "c2ln"}})
    assert await client.ask_policy_server(THERE, b"{}", patient=False) == {
        THERE: {"ed25519:policy_server": "c2ln"}
    }
    other.says({"server": {"name": "Other"}})
    assert (await client.get_version(THERE)).server == {"name": "Other"}
    assert "Authorization" not in other.last.headers
    other.says({"pdus": [], "auth_chain": []})
    assert (await client.get_room_state(THERE, ROOM, EVENT)).pdus == []


async def test_refusals_tell_what_was_said(client: FederationClient, other: Other) -> None:
    other.says({"errcode": "M_INCOMPATIBLE_ROOM_VERSION", "error": "no", "room_version": "13"}, 400)
    with pytest.raises(Refused) as refused:
        await client.make_join(THERE, ROOM, USER, ["10"])
    assert (refused.value.status, refused.value.errcode) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert refused.value.refusal.room_version == "13"
    other.says(b"<html>", 403)
    with pytest.raises(Refused) as refused:
        await client.get_event(THERE, EVENT)
    assert refused.value.errcode is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"pdus": 5}', b"\xff", b"[" * 100_000])
async def test_answers_of_another_shape_are_the_servers_fault(
    client: FederationClient, other: Other, body: bytes
) -> None:
    other.says(body)
    with pytest.raises(RemoteError):
        await client.get_event(THERE, EVENT)


async def test_answers_may_not_be_endless(client: FederationClient, other: Other) -> None:
    other.says({"displayname": "x" * 300_000})
    with pytest.raises(RemoteError) as error:
        await client.query_profile(THERE, USER)
    assert error.value.errcode == "M_TOO_LARGE"


async def test_a_server_that_does_not_answer_is_left_alone(
    client: FederationClient, network: MemoryNetwork, other: Other, clock: Clock
) -> None:
    del network.servers[THERE]
    for _ in range(2):
        with pytest.raises(RemoteError):
            await client.get_event(THERE, EVENT)
    assert len(network.requests) == 1
    with pytest.raises(BackingOff):
        await client.get_event(THERE, EVENT)
    # What a user waits for is tried all the same.
    with pytest.raises(RemoteError):
        await client.make_leave(THERE, ROOM, USER)
    assert len(network.requests) == 2
    await clock.sleep(15)
    Other(network).says({"pdus": []})
    assert await client.get_event(THERE, EVENT) is None


async def test_a_proxy_speaks_for_no_server(client: FederationClient, other: Other, backoff: Backoff) -> None:
    other.says(b"<html>", 502)
    with pytest.raises(Refused):
        await client.get_event(THERE, EVENT)
    assert backoff.wait_ms(THERE) > 0
    backoff.reset(THERE)
    other.says({"errcode": "M_UNKNOWN", "error": "overloaded"}, 503)
    with pytest.raises(Refused):
        await client.get_event(THERE, EVENT)
    assert backoff.wait_ms(THERE) == 0


@pytest.mark.parametrize("server", ["evil.test", "EVIL.TEST", US])
async def test_some_servers_are_not_spoken_with(
    client: FederationClient, network: MemoryNetwork, server: str
) -> None:
    with pytest.raises(ServerDenied):
        await client.get_event(ServerName(server), EVENT)
    with pytest.raises(ServerDenied):
        await client.get_version(ServerName(server))
    assert network.requests == []


def test_a_list_of_servers_is_all_of_them() -> None:
    policy = FederationPolicy(US, allowed=["Friend.test"])
    assert policy.permits("friend.test")
    assert not policy.permits("stranger.test")
    assert not FederationPolicy(US, allowed=[]).permits("friend.test")


async def test_old_servers_know_version_1_only(client: FederationClient, other: Other) -> None:
    other.says({"errcode": "M_UNRECOGNIZED", "error": "?"}, 404)
    other.says([200, {"state": [], "auth_chain": []}], to="v1/send_join")
    other.says([200, {}], to="v1/send_leave")
    other.says([200, {"event": {"signed": True}}], to="v1/invite")
    await client.send_join(THERE, ROOM, EVENT, b"{}")
    await client.send_leave(THERE, ROOM, EVENT, b"{}")
    invited = await client.invite(THERE, ROOM, EVENT, {"type": "t"}, room_version="2", room_state=[{"a": 1}])
    assert invited == {"signed": True}
    assert json.loads(other.last.body or b"") == {"type": "t", "unsigned": {"invite_room_state": [{"a": 1}]}}
    with pytest.raises(Refused):
        await client.invite(THERE, ROOM, EVENT, {}, room_version="10", room_state=[])


async def test_an_openid_token_is_of_the_server_that_says_so(client: FederationClient, other: Other) -> None:
    other.says({"sub": USER})
    assert await client.get_openid_userinfo(THERE, "token") == USER
    other.says({"sub": "@user:elsewhere.test"})
    with pytest.raises(RemoteError):
        await client.get_openid_userinfo(THERE, "token")


class Store:
    """Takes media."""

    def __init__(self) -> None:
        self.head: MediaHead | None = None
        self.data = b""

    def open(self, head: MediaHead) -> Any:
        self.head = head
        return self._write

    def _write(self, data: bytes) -> None:
        self.data += data


class Cdn:
    """The rest of the web."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fetch(self, method: str, url: str, *, open_sink: Any = None, **_limits: Any) -> Answer:
        self.asked.append(url)
        head = Answer(200, {"content-type": "image/gif"})
        open_sink(head)(b"from the web")
        return head


class TestMedia:
    @pytest.fixture
    def cdn(self) -> Cdn:
        return Cdn()

    @pytest.fixture
    def media(self, requests: SignedRequests, cdn: Cdn) -> RemoteMedia:
        return RemoteMedia(requests, cdn)

    async def download(self, media: RemoteMedia) -> Store:
        store = Store()
        await media.download(THERE, "abc", timeout_ms=20_000, max_bytes=1000, open_media=store.open)
        return store

    async def test_media_in_the_answer(self, media: RemoteMedia, other: Other) -> None:
        body = build_head(b"B", {"Content-Type": "image/png", "Content-Disposition": "inline"})
        other.says(
            body + b"pixels" + build_tail(b"B"), headers={"content-type": "multipart/mixed; boundary=B"}
        )
        store = await self.download(media)
        assert store.head == MediaHead("image/png", "inline")
        assert store.data == b"pixels"
        assert other.last.uri == "/_matrix/federation/v1/media/download/abc?timeout_ms=20000"

    async def test_media_elsewhere(self, media: RemoteMedia, other: Other, cdn: Cdn) -> None:
        body = build_head(b"B", {"Location": "https://cdn.test/abc"}) + build_tail(b"B")
        other.says(body, headers={"content-type": "multipart/mixed; boundary=B"})
        store = await self.download(media)
        assert cdn.asked == ["https://cdn.test/abc"]
        assert store.data == b"from the web"
        assert store.head == MediaHead("image/gif", None)

    async def test_old_servers_give_media_to_anybody(self, media: RemoteMedia, other: Other) -> None:
        other.says({"errcode": "M_UNRECOGNIZED", "error": "?"}, 404)
        other.says(b"pixels", to="/media/v3/", headers={"content-type": "image/png"})
        assert (await self.download(media)).data == b"pixels"
        assert other.last.uri.endswith(
            "/_matrix/media/v3/download/there.test/abc?timeout_ms=20000&allow_remote=false&allow_redirect=true"
        )
        assert "Authorization" not in other.last.headers

    async def test_old_servers_may_redirect(self, media: RemoteMedia, other: Other, cdn: Cdn) -> None:
        other.says({"errcode": "M_UNRECOGNIZED", "error": "?"}, 404)
        other.says(b"", 307, to="/media/v3/", headers={"location": "https://cdn.test/old"})
        assert (await self.download(media)).data == b"from the web"

    async def test_unknown_media_are_not_asked_for_elsewhere(self, media: RemoteMedia, other: Other) -> None:
        other.says({"errcode": "M_NOT_FOUND", "error": "no such media"}, 404)
        with pytest.raises(Refused):
            await self.download(media)
        assert len(other.requests) == 1

    async def test_media_that_are_not_there_yet(
        self, media: RemoteMedia, other: Other, backoff: Backoff
    ) -> None:
        other.says({"errcode": "M_NOT_YET_UPLOADED", "error": "wait"}, 504)
        with pytest.raises(Refused) as refused:
            await self.download(media)
        assert refused.value.errcode == "M_NOT_YET_UPLOADED"
        assert backoff.wait_ms(THERE) == 0

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"pixels", "image/png"),
            (b"pixels", "multipart/mixed; boundary=B"),
            (build_head(b"B", {}) + b"pix", "multipart/mixed; boundary=B"),
        ],
    )
    async def test_malformed_answers(
        self, media: RemoteMedia, other: Other, body: bytes, content_type: str
    ) -> None:
        other.says(body, headers={"content-type": content_type})
        with pytest.raises(RemoteError):
            await self.download(media)

    async def test_thumbnails(self, media: RemoteMedia, other: Other) -> None:
        body = build_head(b"B", {"Content-Type": "image/png"}) + b"small" + build_tail(b"B")
        other.says(body, headers={"content-type": "multipart/mixed; boundary=B"})
        store = Store()
        size = ThumbnailSize(32, 64, "crop", animated=True)
        await media.thumbnail(THERE, "abc", size, timeout_ms=1, max_bytes=1000, open_media=store.open)
        assert store.data == b"small"
        assert other.last.uri.endswith("?width=32&height=64&method=crop&animated=true&timeout_ms=1")
