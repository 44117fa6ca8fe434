"""Moments: posted, liked and commented through the facade and by stock clients, read by those they are for."""

from __future__ import annotations

from functools import partial
from typing import Any

from homeserver.ids import RoomID
from tests.harness.client_state import ClientState
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

LIKE = "❤️"


async def become_friends(one: User, other: User) -> RoomID:
    """Ask by the facade, and be accepted."""
    room = RoomID(await ImUser(one).befriends(ImUser(other)))
    for reader, author in ((one, other), (other, one)):
        await reader.syncs()
        await reader.waits_until(partial(reads_moments, author=author), f"the moments of {author}")
    return room


def reads_moments(client: ClientState, *, author: User) -> bool:
    """Whether a client is in the room of somebody's moments for friends."""
    return any(
        room.membership == "join"
        and (room.content("m.room.create") or {}).get("im.hearth.visibility") == "friends"
        and room.members().get(author.user_id) == "join"
        and "m.tag" in room.account_data
        for room in client.rooms.values()
    )


async def post(author: User, text: str, **more: Any) -> str:
    answer = await author.request("POST", "/im/v1/moments", {"text": text, **more})
    moment: str = answer["moment_id"]
    return moment


async def timeline(viewer: User, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await viewer.request("GET", "/im/v1/moments/timeline", query=query))[
        "items"
    ]
    return items


async def texts(viewer: User) -> list[str]:
    return [item["text"] for item in await timeline(viewer)]


async def test_friends_see_moments_and_others_do_not(alice: User, bob: User, carol: User) -> None:
    await become_friends(alice, bob)
    await post(alice, "for friends")
    await post(alice, "for me", visibility="private")
    await post(alice, "for all", visibility="public")
    await post(bob, "hello")
    assert await texts(alice) == ["hello", "for all", "for me", "for friends"]
    assert await texts(bob) == ["hello", "for friends"]
    assert await texts(carol) == []
    of_alice = (await carol.request("GET", f"/im/v1/users/{alice.user_id}/moments"))["items"]
    assert [item["text"] for item in of_alice] == ["for all"]
    await carol.request("PUT", f"/im/v1/follows/{alice.user_id}")
    assert await texts(carol) == ["for all"]
    await carol.request("DELETE", f"/im/v1/follows/{alice.user_id}")
    assert await texts(carol) == []


async def test_likes_and_comments(alice: User, bob: User, carol: User) -> None:
    await become_friends(alice, bob)
    await become_friends(alice, carol)
    moment = await post(alice, "a cake")
    path = f"/im/v1/moments/{moment}"
    assert await bob.request("PUT", f"{path}/like") == {"like_count": 1}
    assert await bob.request("PUT", f"{path}/like") == {"like_count": 1}
    assert await carol.request("PUT", f"{path}/like") == {"like_count": 2}
    assert await carol.request("DELETE", f"{path}/like") == {"like_count": 1}
    said = (await bob.request("POST", f"{path}/comments", {"body": "yum"}))["comment_id"]
    await alice.request("POST", f"{path}/comments", {"body": "thanks", "reply_to": said})
    await carol.request("POST", f"{path}/comments", {"body": "want some"})
    (seen,) = await timeline(bob)
    assert (seen["like_count"], seen["liked"], seen["likes"]) == (1, True, [bob.user_id])
    # Bob and Carol are not friends: neither is shown what the other says.
    assert [(one["body"], one["reply_to"]) for one in seen["comments"]] == [("yum", None), ("thanks", said)]
    (own,) = await timeline(alice)
    assert [one["body"] for one in own["comments"]] == ["yum", "thanks", "want some"]
    liking = await alice.request("GET", f"{path}/likes")
    assert liking["items"] == [{"user_id": bob.user_id}]
    with refused("M_FORBIDDEN", 403):
        await carol.request("DELETE", f"{path}/comments/{said}")
    await alice.request("DELETE", f"{path}/comments/{said}")
    (own,) = await timeline(alice)
    assert [one["body"] for one in own["comments"]] == ["thanks", "want some"]


async def test_stock_clients_show_moments_in_their_way(alice: User, bob: User) -> None:
    await become_friends(alice, bob)
    answer = await alice.request(
        "POST",
        "/im/v1/moments",
        {
            "text": "two <pies>",
            "media": ["mxc://one.test/a", {"mxc": "mxc://one.test/b", "alt": "pie"}],
            "location": {"geo_uri": "geo:50.1,8.6", "name": "the kitchen"},
        },
    )
    room, moment = answer["room_id"], answer["moment_id"]
    event = await bob.event(room, moment)
    assert event["content"]["body"] == "two <pies>\n📍 the kitchen"
    assert '<img src="mxc://one.test/b" alt="pie">' in event["content"]["formatted_body"]
    assert "<pies>" not in event["content"]["formatted_body"]
    like = {"m.relates_to": {"rel_type": "m.annotation", "event_id": moment, "key": LIKE}}
    await bob.sends(room, "m.reaction", like)
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": moment}}
    await bob.says(room, "from a stock client", **thread)
    await bob.says(room, "not a moment: it is Alice's room")
    (seen,) = await timeline(alice)
    assert (seen["like_count"], [one["body"] for one in seen["comments"]]) == (1, ["from a stock client"])
    assert [one["mxc"] for one in seen["media"]] == ["mxc://one.test/a", "mxc://one.test/b"]
    assert seen["location"] == {"geo_uri": "geo:50.1,8.6", "name": "the kitchen"}
    await alice.says(room, "a moment from a stock client")
    assert (await texts(bob))[0] == "a moment from a stock client"


async def test_deleted_moments_are_gone(alice: User, bob: User) -> None:
    await become_friends(alice, bob)
    first, second = await post(alice, "first"), await post(alice, "second")
    with refused("M_FORBIDDEN", 403):
        await bob.request("DELETE", f"/im/v1/moments/{first}")
    await alice.request("DELETE", f"/im/v1/moments/{first}")
    assert await texts(bob) == ["second"]
    with refused("M_NOT_FOUND", 404):
        await bob.request("GET", f"/im/v1/moments/{first}")
    (seen,) = await timeline(alice)
    await alice.redacts(seen["room_id"], second)
    assert await texts(bob) == []


async def test_who_is_no_friend_any_more_sees_nothing_new(alice: User, bob: User) -> None:
    room = await become_friends(alice, bob)
    moment = await post(alice, "while it lasted")
    own = (await alice.request("GET", f"/im/v1/moments/{moment}"))["room_id"]
    await bob.leaves(room)
    await alice.sees(own, member={bob: "leave"})
    await post(alice, "afterwards")
    assert await texts(bob) == []
    with refused("M_FORBIDDEN", 403):
        await bob.request("PUT", f"/im/v1/moments/{moment}/like")
    # Coming back is being a friend again.
    await alice.invites(room, bob)
    await become_friends(alice, bob)
    await alice.sees(room, membership="join")
    assert "afterwards" in await texts(bob)


async def test_pages_and_a_rebuilt_projection_agree(server: Server, alice: User, bob: User) -> None:
    await become_friends(alice, bob)
    for number in range(7):
        await post(alice if number % 2 else bob, f"moment {number}")
    whole = await timeline(bob)
    for limit in (1, 3):
        paged: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": limit}
        while True:
            answer = await bob.request("GET", "/im/v1/moments/timeline", query=query)
            paged += answer["items"]
            if "next_batch" not in answer:
                break
            query["from"] = answer["next_batch"]
        assert paged == whole
    assert [item["text"] for item in whole] == [f"moment {number}" for number in reversed(range(7))]
    await server.homeserver.services.im.follower.rebuild()
    assert await timeline(bob) == whole
    await server.restarts()
    assert await timeline(bob) == whole


async def test_bad_moments_are_refused(alice: User, bob: User) -> None:
    with refused("M_INVALID_PARAM", 400):
        await post(alice, "  ")
    with refused("M_INVALID_PARAM", 400):
        await post(alice, "x", media=["https://elsewhere.test/a.png"])
    with refused("M_INVALID_PARAM", 400):
        await post(alice, "x", location={"geo_uri": "here"})
    secret = await post(alice, "x", visibility="private")
    with refused("M_NOT_FOUND", 404):
        await bob.request("GET", f"/im/v1/moments/{secret}")
    with refused("M_NOT_FOUND", 404):
        await bob.request("PUT", f"/im/v1/moments/{secret}/like")
    with refused("M_NOT_FOUND", 404):
        await bob.request("PUT", "/im/v1/follows/@nobody:one.test")


async def test_who_has_never_used_the_facade_has_no_such_rooms(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(inviting=bob, is_direct=True)
    await bob.joins(room)
    await server.passes(2)
    for user in (alice, bob):
        assert (await user.request("GET", "/joined_rooms"))["joined_rooms"] == [room]


async def test_a_first_post_brings_in_friends_made_by_stock_clients(alice: User, bob: User) -> None:
    await bob.joins(await alice.creates_room(inviting=bob, is_direct=True))
    await post(alice, "here I am", visibility="friends")
    await bob.waits_until(partial(reads_moments, author=alice), "the moments of alice")
    assert await texts(bob) == ["here I am"]


async def test_how_far_back_others_see_is_the_authors_choice(
    server: Server, ann: ImUser, ben: ImUser
) -> None:
    await ann.befriends(ben)
    old = await ann.call("POST", "/moments", {"text": "long ago"})
    await server.passes(4 * 24 * 3600)
    new = await ann.call("POST", "/moments", {"text": "today"})

    async def seen_by(person: ImUser) -> list[str]:
        pages = [
            await person.call("GET", path) for path in ("/moments/timeline", f"/users/{ann.user_id}/moments")
        ]
        one, other = [[item["moment_id"] for item in page["items"]] for page in pages]
        assert one == other
        return one

    both = [new["moment_id"], old["moment_id"]]
    assert await seen_by(ben) == both
    await ann.call("PUT", "/users/me/settings", {"moments_range": "three_days"})
    assert await seen_by(ben) == [new["moment_id"]]
    assert await seen_by(ann) == both
    with refused("M_NOT_FOUND", 404):
        await ben.call("GET", f"/moments/{old['moment_id']}")
    with refused("M_BAD_JSON", 400):
        await ann.call("PUT", "/users/me/settings", {"moments_range": "a week"})


async def test_posts_ring_no_phones_unless_they_mention_somebody(alice: User, bob: User) -> None:
    await become_friends(alice, bob)
    room = (await alice.request("POST", "/im/v1/moments", {"text": "quiet"}))["room_id"]
    await bob.sees(room, "quiet", unread=0)
    await post(alice, "you there", mentions=[bob.user_id])
    await bob.sees(room, "quiet", "you there", unread=1, highlights=1)
