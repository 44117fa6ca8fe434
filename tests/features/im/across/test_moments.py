"""Moments of friends on two servers: read as soon as they are friends, and no longer than that."""

from __future__ import annotations

from tests.features.im.across.test_friends import become_friends
from tests.harness.im_user import ImUser
from tests.harness.network import Network
from tests.harness.refusals import refused
from tests.harness.server import Server


async def post(author: ImUser, text: str, visibility: str = "friends") -> str:
    answer = await author.call("POST", "/moments", {"text": text, "visibility": visibility})
    moment: str = answer["moment_id"]
    return moment


async def test_friends_read_like_and_comment(ann: ImUser, ben: ImUser, bea: ImUser) -> None:
    await become_friends(ann, ben)
    await ann.reads_moments_of(ben)
    await ben.reads_moments_of(ann)
    # Stock clients list these rooms with the others: they are at the end.
    room = await ben.moments_room_of(ann)
    await ben.stock.waits_until(
        lambda client: "m.lowpriority" in client.rooms[room].account_data.get("m.tag", {}).get("tags", {}),
        "the tag",
    )
    moment = await post(ann, "plum cake")
    await post(ann, "dear diary", "private")
    await ben.sees_moments("plum cake")
    await ben.call("PUT", f"/moments/{moment}/like")
    comment = (await ben.call("POST", f"/moments/{moment}/comments", {"body": "yum"}))["comment_id"]
    await ann.sees_comments(moment, "yum")
    reply = {"body": "come over", "reply_to": comment}
    await ann.call("POST", f"/moments/{moment}/comments", reply)
    await ben.sees_comments(moment, "yum", "come over")
    seen = await ann.call("GET", f"/moments/{moment}")
    assert (seen["like_count"], seen["likes"]) == (1, [ben.user_id])
    assert await bea.moments() == []
    await ann.call("DELETE", f"/moments/{moment}")
    await ben.sees_moments()


async def test_a_new_friend_reads_what_was_posted_before(ann: ImUser, ben: ImUser) -> None:
    await post(ann, "before we met")
    await become_friends(ann, ben)
    await ben.sees_moments("before we met")
    await post(ann, "since then")
    await ben.sees_moments("since then", "before we met")


async def test_parting_ends_reading_on_both_servers(ann: ImUser, ben: ImUser) -> None:
    await become_friends(ann, ben)
    await ann.reads_moments_of(ben)
    await ben.reads_moments_of(ann)
    moment = await post(ann, "while it lasted")
    await ben.sees_moments("while it lasted")
    await ben.parts_from(ann)
    await ann.sees_friends()
    await ann.loses_moments_of(ben)
    await ben.loses_moments_of(ann)
    await post(ann, "afterwards")
    assert await ben.moments() == []
    with refused("M_FORBIDDEN", 403):
        await ben.call("PUT", f"/moments/{moment}/like")
    # Coming back is being a friend again.
    await ben.asks(ann)
    await ann.sees_request(ben)
    await ann.accepts(ben)
    await ben.sees_moments("afterwards", "while it lasted")


async def test_whoever_blocks_is_not_read_any_more(ann: ImUser, ben: ImUser) -> None:
    await become_friends(ann, ben)
    await ben.reads_moments_of(ann)
    await ann.call("PUT", f"/blocks/{ben.user_id}")
    await ben.loses_moments_of(ann)
    await post(ann, "not for Ben")
    assert await ben.moments() == []
    await ann.call("DELETE", f"/blocks/{ben.user_id}")
    await ben.sees_moments("not for Ben")


async def test_public_moments_are_followed_from_elsewhere(ann: ImUser, ben: ImUser) -> None:
    await post(ann, "for everybody", "public")
    await ben.call("PUT", f"/follows/{ann.user_id}")
    await ben.sees_moments("for everybody")
    await post(ann, "more", "public")
    await ben.sees_moments("more", "for everybody")
    await ben.call("DELETE", f"/follows/{ann.user_id}")
    await ben.sees_moments()


async def test_a_server_that_is_away_lets_its_user_in_later(
    one: Server, ann: ImUser, ben: ImUser, network: Network
) -> None:
    await ann.asks(ben)
    await ben.sees_request(ann)
    await ben.accepts(ann)
    network.cut("one.test", "two.test")
    await one.passes(5)
    network.heal()
    await one.passes(3600)
    await ann.reads_moments_of(ben)
    await ben.reads_moments_of(ann)


async def test_a_crash_forgets_no_reader(one: Server, two: Server, ann: ImUser, ben: ImUser) -> None:
    await ann.asks(ben)
    await ben.sees_request(ann)
    # Nothing of what follows from the friendship is done when the servers stop.
    one.homeserver.services.social.moments.circles.stop()
    two.homeserver.services.social.moments.circles.stop()
    await ben.accepts(ann)
    await ann.sees_friends(ben)
    await one.restarts()
    await two.restarts()
    await ann.reads_moments_of(ben)
    await ben.reads_moments_of(ann)
