"""The tables that lists are read from, made anew by one call."""

from __future__ import annotations

from storage.transaction import Transaction
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import refused
from tests.harness.server import Server

TABLES = (
    "im_directs",
    "im_friend_requests",
    "im_rooms",
    "im_conversations",
    "im_moments",
    "im_moments_rooms",
)


def _lose_everything(txn: Transaction) -> None:
    for table in TABLES:
        txn.execute(f"DELETE FROM {table}")


async def _shown(person: ImUser) -> list[object]:
    paths = ("/friends", "/friends/requests", "/conversations", "/moments/timeline")
    return [await person.call("GET", path) for path in paths]


async def test_an_administrator_has_lost_tables_made_anew(
    server: Server, ann: ImUser, ben: ImUser, cat: ImUser
) -> None:
    room = await ann.befriends(ben)
    await cat.asks(ann, "me too")
    await ann.says(room, "hello")
    await ben.call("PATCH", f"/conversations/{room}", {"pinned": True})
    await ben.reads_moments_of(ann)
    await ann.call("POST", "/moments", {"text": "a cake"})
    await ben.sees_moments("a cake")
    before = {person.user_id: await _shown(person) for person in (ann, ben, cat)}
    await server.homeserver.surroundings.database.run(_lose_everything)
    assert await ann.friends() == []
    with refused("M_FORBIDDEN", 403):
        await ann.call("POST", "/admin/projections/rebuild")
    admin = await server.admin()
    rebuilt = await im_call(admin, "POST", "/admin/projections/rebuild")
    assert rebuilt["rooms"] > 4
    assert {person.user_id: await _shown(person) for person in (ann, ben, cat)} == before
