"""The golden rules of unread counts, one test each (B.6 of the design)."""

from __future__ import annotations

import pytest

from tests.harness.im_user import ImUser
from tests.harness.server import Server


@pytest.fixture
def room(server: Server, ann: ImUser, ben: ImUser) -> str:
    return server.drive(ann.befriends(ben))


async def test_what_others_say_counts_one_each(ann: ImUser, ben: ImUser, room: str) -> None:
    await ann.says(room, "one")
    await ann.stock.says(room, "two")
    assert await ben.unread(room) == 2


async def test_ones_own_messages_never_count_and_move_ones_marker(
    ann: ImUser, ben: ImUser, room: str
) -> None:
    await ann.says(room, "hello")
    await ben.stock.says(room, "hello yourself")
    assert (await ann.unread(room), await ben.unread(room)) == (1, 0)


async def test_reading_works_when_there_is_nothing_to_read(ann: ImUser, room: str) -> None:
    assert (await ann.reads(room))["unread"] == 0
    assert await ann.unread(room) == 0


async def test_the_others_reading_does_not_touch_mine(ann: ImUser, ben: ImUser, room: str) -> None:
    await ann.says(room, "hello")
    await ann.reads(room)
    assert await ben.unread(room) == 1


async def test_reading_up_to_a_message_leaves_the_rest(ann: ImUser, ben: ImUser, room: str) -> None:
    first = await ann.says(room, "one")
    await ann.says(room, "two")
    assert (await ben.reads(room, seq=first["seq"]))["unread"] == 1
    assert (await ben.reads(room))["unread"] == 0


async def test_a_stock_receipt_is_reading(ann: ImUser, ben: ImUser, room: str) -> None:
    sent = await ann.says(room, "hello")
    await ben.stock.reads(room, sent["event_id"])
    assert await ben.unread(room) == 0


async def test_what_is_taken_back_does_not_count(ann: ImUser, ben: ImUser, room: str) -> None:
    sent = await ann.says(room, "oops")
    await ann.call("PUT", f"/messages/{sent['event_id']}/recall")
    assert await ben.unread(room) == 0


async def test_what_is_deleted_for_oneself_does_not_count(ann: ImUser, ben: ImUser, room: str) -> None:
    sent = await ann.says(room, "oops")
    await ben.call("DELETE", f"/messages/{sent['event_id']}", scope="me")
    assert await ben.unread(room) == 0


async def test_those_whom_one_blocks_do_not_count(ann: ImUser, ben: ImUser, room: str) -> None:
    await ben.call("PUT", f"/blocks/{ann.user_id}")
    await ann.says(room, "hello?")
    assert await ben.unread(room) == 0


async def test_muting_changes_nothing_but_what_notifies(ann: ImUser, ben: ImUser, room: str) -> None:
    await ben.call("PATCH", f"/conversations/{room}", {"muted": "all"})
    await ann.says(room, "hello")
    shown = await ben.conversation(room)
    assert (shown["unread"], shown["notify_count"], shown["muted"]) == (1, 0, "all")


async def test_a_cleared_conversation_has_nothing_unread(ann: ImUser, ben: ImUser, room: str) -> None:
    await ann.says(room, "hello")
    await ben.call("POST", f"/conversations/{room}/clear")
    assert await ben.unread(room) == 0
    await ann.says(room, "again")
    assert await ben.unread(room) == 1


async def test_a_hidden_conversation_has_nothing_unread_until_the_next_message(
    ann: ImUser, ben: ImUser, room: str
) -> None:
    await ann.says(room, "hello")
    await ben.call("DELETE", f"/conversations/{room}")
    assert await ben.conversations() == []
    assert (await ben.call("GET", "/messages/unread"))["total"] == 0
    await ann.says(room, "again")
    (shown,) = await ben.conversations()
    assert shown["unread"] == 2


async def test_edits_and_reactions_do_not_count(ann: ImUser, ben: ImUser, room: str) -> None:
    sent = await ann.says(room, "helo")
    await ben.reads(room)
    await ann.call("PATCH", f"/messages/{sent['event_id']}", {"body": "hello"})
    await ann.call("POST", f"/messages/{sent['event_id']}/reactions", {"key": "👍"})
    assert await ben.unread(room) == 0


async def test_it_outlives_restarts_and_new_devices(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    await ann.says(room, "hello")
    await server.restarts()
    assert await ben.unread(room) == 1
    assert await ImUser(await server.logs_in(ben.stock)).unread(room) == 1
