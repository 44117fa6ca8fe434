"""Files that go: with the last event that used them, or when nobody has looked at them for long."""

from __future__ import annotations

import pytest

from homeserver.media.mxc import parse_mxc
from storage import media_references
from storage.transaction import Transaction
from tests.features.media.pictures import picture
from tests.harness.fixtures import ServerFactory
from tests.harness.server import Server
from tests.harness.user import User

V1 = "/_matrix/client/v1/media"


@pytest.fixture
def tidy(make_server: ServerFactory) -> Server:
    return make_server(delete_redacted_media=True)


async def shows(user: User, room: str, uri: str) -> str:
    return await user.sends(room, "m.room.message", {"msgtype": "m.image", "body": "me", "url": uri})


async def is_there(user: User, uri: str) -> bool:
    return (await user.downloads(uri)).status == 200


def files(server: Server) -> int:
    return sum(path.is_file() for path in server.config.media.media_store_path.rglob("*"))


async def test_a_file_goes_with_the_last_event_that_used_it(tidy: Server) -> None:
    alice = await tidy.user("alice")
    room = await alice.creates_room()
    uri = await alice.uploads(picture(), content_type="image/png")
    await alice.ask("GET", f"{V1}/thumbnail/{uri[6:]}", query={"width": 32, "height": 32})
    assert files(tidy) == 2
    first, second = await shows(alice, room, uri), await shows(alice, room, uri)
    await alice.redacts(room, first)
    await tidy.passes(1)
    assert await is_there(alice, uri)
    await alice.redacts(room, second)
    await tidy.passes(1)
    assert not await is_there(alice, uri)
    assert files(tidy) == 0


async def test_the_bytes_stay_while_another_id_stands_for_them(tidy: Server) -> None:
    alice, bob = await tidy.user("alice"), await tidy.user("bob")
    room = await alice.creates_room()
    hers, his = await alice.uploads(b"same"), await bob.uploads(b"same")
    await alice.redacts(room, await shows(alice, room, hers))
    await tidy.passes(1)
    assert not await is_there(alice, hers)
    assert (await bob.downloads(his)).body == b"same"


async def test_what_is_in_a_profile_or_in_account_data_stays(tidy: Server) -> None:
    alice = await tidy.user("alice")
    room = await alice.creates_room()
    avatar, sticker = await alice.uploads(b"avatar"), await alice.uploads(b"sticker")
    await alice.sets_profile("avatar_url", avatar)
    await alice.keeps("im.ponies.user_emotes", {"images": {"a": {"url": sticker}}})
    for uri in (avatar, sticker):
        await alice.redacts(room, await shows(alice, room, uri))
    await tidy.passes(1)
    assert await is_there(alice, avatar)
    assert await is_there(alice, sticker)


async def test_a_redaction_that_is_not_allowed_deletes_nothing(tidy: Server) -> None:
    alice, bob = await tidy.user("alice"), await tidy.user("bob")
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    uri = await alice.uploads(b"mine")
    event = await shows(alice, room, uri)
    path = f"/rooms/{room}/redact/{event}/txn"
    await bob.ask("PUT", path, {})
    await tidy.passes(1)
    assert await is_there(alice, uri)


async def test_nothing_is_deleted_unless_the_operator_wants_it(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    uri = await alice.uploads(b"mine")
    await alice.redacts(room, await shows(alice, room, uri))
    await server.passes(1)
    assert await is_there(alice, uri)


async def test_what_was_written_while_nobody_listened_is_noted_later(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    uri = await alice.uploads(b"mine")
    mxc = parse_mxc(uri)
    assert mxc is not None
    event = await shows(alice, room, uri)
    await server.passes(1)
    database = server.homeserver.surroundings.database

    def forget(txn: Transaction) -> None:
        txn.execute("DELETE FROM followers WHERE name = 'media'")
        txn.execute("DELETE FROM media_references")

    await database.run(forget)
    await server.restarts()
    await server.passes(1)
    database = server.homeserver.surroundings.database
    assert await database.read(media_references.list_events, *mxc, 10) == [event]


async def test_what_nobody_looks_at_goes_after_a_while(make_server: ServerFactory) -> None:
    server = make_server(media_retention={"local_media_lifetime": "2d"})
    alice = await server.user("alice")
    dull, dear = await alice.uploads(b"dull"), await alice.uploads(b"dear")
    await server.passes(86_400)
    assert await is_there(alice, dear)
    await server.passes(86_400 + 7200)
    assert not await is_there(alice, dull)
    assert await is_there(alice, dear)
