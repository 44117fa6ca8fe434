"""Calls, reports, rendezvous and invite blocking."""

from __future__ import annotations

import base64
import hmac
from functools import partial

from storage import reports
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

OLD = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
NEW = "/_matrix/client/unstable/io.element.msc4388/rendezvous"
TEXT = {"Content-Type": "text/plain"}


async def test_turn_credentials_are_signed(make_server: ServerFactory) -> None:
    uris = ["turn:turn.one.test?transport=udp"]
    server = make_server(turn_uris=uris, turn_shared_secret="shared", turn_user_lifetime="1h")
    alice = await server.user("alice")
    answer = await alice.request("GET", "/voip/turnServer")
    expires_s, _, name = answer["username"].partition(":")
    assert name == alice.user_id
    assert int(expires_s) == server.clock.now_ms() // 1000 + 3600
    signature = hmac.new(b"shared", answer["username"].encode(), "sha1").digest()
    assert answer["password"] == base64.b64encode(signature).decode()
    assert (answer["ttl"], answer["uris"]) == (3600, uris)
    with refused("M_MISSING_TOKEN", 401):
        await server.client().request("GET", "/voip/turnServer")


async def test_group_calls_have_transports(make_server: ServerFactory) -> None:
    transport = {"type": "livekit", "livekit_service_url": "https://rtc.one.test"}
    server = make_server(matrix_rtc={"transports": [transport]})
    alice = await server.user("alice")
    path = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
    assert await alice.request("GET", path) == {"rtc_transports": [transport]}


async def test_reports_are_kept(server: Server, alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    event_id = await alice.says(room, "something rude")
    await bob.request("POST", f"/rooms/{room}/report/{event_id}", {"reason": "rude", "score": -100})
    await carol.request("POST", f"/rooms/{room}/report", {"reason": "bad room"})
    await bob.request("POST", f"/users/{alice.user_id}/report", {"reason": "bad person"})
    with refused("M_NOT_FOUND", 404):
        await carol.request("POST", f"/rooms/{room}/report/{event_id}", {})
    with refused("M_NOT_FOUND", 404):
        await carol.request("POST", "/rooms/!nowhere:one.test/report", {"reason": ""})
    with refused("M_NOT_FOUND", 404):
        await carol.request("POST", "/users/@nobody:one.test/report", {"reason": ""})
    database = server.homeserver.surroundings.database
    latest = await database.read(partial(reports.list_latest, limit=10))
    kept = {(one.reporter, one.event_id, one.user_id, one.reason) for one in latest}
    assert kept == {
        (bob.user_id, event_id, None, "rude"),
        (carol.user_id, None, None, "bad room"),
        (bob.user_id, None, alice.user_id, "bad person"),
    }


async def test_who_blocks_invitations_gets_none(server: Server, alice: User, bob: User) -> None:
    await bob.keeps("m.invite_permission_config", {"default_action": "block"})
    room = await alice.creates_room()
    with refused("M_INVITE_BLOCKED", 403):
        await alice.request("POST", f"/rooms/{room}/invite", {"user_id": bob.user_id})
    await bob.keeps("m.invite_permission_config", {})
    await alice.request("POST", f"/rooms/{room}/invite", {"user_id": bob.user_id})


async def test_devices_meet_over_etags(server: Server) -> None:
    one, other = server.client(), server.client()
    begun = await one.ask("POST", OLD, raw=b"first", headers=TEXT)
    assert begun.status == 201
    path, tag = begun.json["url"].removeprefix("https://one.test"), begun.headers["etag"]
    assert begun.headers["access-control-expose-headers"] == "ETag"
    read = await other.ask("GET", path)
    assert (read.status, read.body, read.headers["etag"]) == (200, b"first", tag)
    assert (await other.ask("GET", path, headers={"If-None-Match": tag})).status == 304
    written = await other.ask("PUT", path, raw=b"second", headers={**TEXT, "If-Match": tag})
    assert written.status == 202
    late = await one.ask("PUT", path, raw=b"third", headers={**TEXT, "If-Match": tag})
    assert (late.status, late.json["org.matrix.msc4108.errcode"]) == (412, "M_CONCURRENT_WRITE")
    assert (await one.ask("GET", path)).body == b"second"
    assert (await one.ask("POST", OLD, raw=b"x" * 5000, headers=TEXT)).status == 413
    assert (await one.ask("DELETE", path)).status == 204
    assert (await one.ask("GET", path)).status == 404


async def test_devices_meet_over_json(server: Server) -> None:
    client = server.client()
    assert await client.request("GET", NEW) == {"create_available": True}
    begun = await client.request("POST", NEW, {"data": "first"})
    path, tag = f"{NEW}/{begun['id']}", begun["sequence_token"]
    assert (await client.request("GET", path))["data"] == "first"
    second = {"data": "second", "sequence_token": tag}
    answer = await client.request("PUT", path, second)
    assert await client.request("PUT", path, second) == answer
    with refused("IO_ELEMENT_MSC4388_CONCURRENT_WRITE", 409):
        await client.request("PUT", path, {"data": "third", "sequence_token": tag})
    with refused("M_FORBIDDEN", 403):
        await client.request("GET", path, headers={"Sec-Fetch-Mode": "navigate"})
    with refused("M_TOO_LARGE", 413):
        await client.request("POST", NEW, {"data": "x" * 5000})
    await server.passes(61)
    with refused("M_NOT_FOUND", 404):
        await client.request("GET", path)
