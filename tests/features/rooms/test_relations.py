"""Relations: threads, edits, references and reactions, listed and bundled.

Spec: https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events
"""

from __future__ import annotations

from typing import Any

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


def related(rel_type: str, event_id: str, **more: Any) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": rel_type, "event_id": event_id, **more}}


async def edits(user: User, room: str, event_id: str, body: str) -> str:
    new = {"msgtype": "m.text", "body": body}
    return await user.says(room, f"* {body}", **related("m.replace", event_id), **{"m.new_content": new})


async def relations(user: User, room: str, event_id: str, *which: str, **query: Any) -> dict[str, Any]:
    path = "/".join(("/_matrix/client/v1/rooms", segment(room), "relations", segment(event_id), *which))
    return await user.request("GET", path, query=query)


async def test_what_relates_to_an_event_is_listed(alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    root = await alice.says(room, "hello")
    answers = [await bob.says(room, str(number), **related("m.thread", root)) for number in range(3)]
    reaction = await bob.sends(room, "m.reaction", related("m.annotation", root, key="👍"))
    found = await relations(alice, room, root)
    assert [event["event_id"] for event in found["chunk"]] == [reaction, *reversed(answers)]
    found = await relations(alice, room, root, "m.thread", dir="f")
    assert [event["event_id"] for event in found["chunk"]] == answers
    found = await relations(alice, room, root, "m.annotation", "m.reaction")
    assert [event["event_id"] for event in found["chunk"]] == [reaction]
    assert (await relations(alice, room, root, "m.thread", "m.sticker"))["chunk"] == []
    first = await relations(alice, room, root, "m.thread", limit=2)
    assert [event["event_id"] for event in first["chunk"]] == answers[:0:-1]
    rest = await relations(alice, room, root, "m.thread", **{"from": first["next_batch"]})
    assert [event["event_id"] for event in rest["chunk"]] == answers[:1]
    assert "next_batch" not in rest
    with refused("M_NOT_FOUND", 404):
        await relations(alice, room, "$nothing")
    answer = await carol.ask("GET", f"/_matrix/client/v1/rooms/{segment(room)}/relations/{segment(root)}")
    assert answer.status in (403, 404)


async def test_an_edit_is_bundled_with_what_it_edits(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    said = await alice.says(room, "helo")
    await edits(alice, room, said, "hello")
    await server.passes(1)
    last = await edits(alice, room, said, "hello!")
    await edits(bob, room, said, "not mine to edit")
    event = await bob.event(room, said)
    replacement = event["unsigned"]["m.relations"]["m.replace"]
    assert replacement["event_id"] == last
    assert replacement["content"]["m.new_content"]["body"] == "hello!"
    await alice.redacts(room, last)
    event = await bob.event(room, said)
    assert event["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"] == "hello"


async def test_a_thread_is_summed_up_on_its_root(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    root = await alice.says(room, "shall we?")
    await bob.says(room, "yes", **related("m.thread", root))
    last = await bob.says(room, "let us", **related("m.thread", root))
    seen_by_alice = (await alice.event(room, root))["unsigned"]["m.relations"]["m.thread"]
    assert (seen_by_alice["count"], seen_by_alice["latest_event"]["event_id"]) == (2, last)
    assert seen_by_alice["current_user_participated"] is True
    seen_by_bob = (await bob.messages(room, limit=50))["chunk"]
    (bundled,) = [event for event in seen_by_bob if event["event_id"] == root]
    assert bundled["unsigned"]["m.relations"]["m.thread"]["current_user_participated"] is True
    await bob.redacts(room, last)
    assert (await alice.event(room, root))["unsigned"]["m.relations"]["m.thread"]["count"] == 1


async def test_threads_are_listed_with_the_liveliest_first(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    first, second, third = [await alice.says(room, name) for name in ("first", "second", "third")]
    await bob.says(room, "in first", **related("m.thread", first))
    await alice.says(room, "in second", **related("m.thread", second))
    await bob.says(room, "in third", **related("m.thread", third))
    await bob.says(room, "again in first", **related("m.thread", first))
    path = f"/_matrix/client/v1/rooms/{segment(room)}/threads"
    threads = await alice.request("GET", path)
    assert [event["event_id"] for event in threads["chunk"]] == [first, third, second]
    mine = await bob.request("GET", path, query={"include": "participated"})
    assert [event["event_id"] for event in mine["chunk"]] == [first, third]
    page = await alice.request("GET", path, query={"limit": 1})
    rest = await alice.request("GET", path, query={"from": page["next_batch"]})
    assert [event["event_id"] for event in rest["chunk"]] == [third, second]


async def test_references_are_bundled(alice: User) -> None:
    room = await alice.creates_room()
    said = await alice.says(room, "the poll")
    vote = await alice.sends(room, "org.example.vote", related("m.reference", said))
    relations_of = (await alice.event(room, said))["unsigned"]["m.relations"]
    assert relations_of["m.reference"]["chunk"] == [{"event_id": vote}]


async def test_relations_of_relations_are_found_if_asked_for(alice: User) -> None:
    room = await alice.creates_room()
    root = await alice.says(room, "root")
    answer = await alice.says(room, "answer", **related("m.thread", root))
    reaction = await alice.sends(room, "m.reaction", related("m.annotation", answer, key="👍"))
    direct = await relations(alice, room, root)
    assert [event["event_id"] for event in direct["chunk"]] == [answer]
    deep = await relations(alice, room, root, recurse="true")
    assert [event["event_id"] for event in deep["chunk"]] == [reaction, answer]
    assert deep["recursion_depth"] >= 2
