"""matrix-nio beside the IM API: a stock client sees what the facade does, and the facade what a stock client does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nio

from tests.harness.process import ServerProcess
from tests.interop.test_nio import PATIENCE_S, Person, live

IM = "/im/v1"


class Facade:
    """The same account by the IM API."""

    def __init__(self, server: ServerProcess, person: Person) -> None:
        self._server = server
        self._person = person

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        token = self._person.client.access_token
        status, answer = self._server.request(method, IM + path, body, token=token)
        assert status in (200, 202), (path, status, answer)
        return answer

    def refused(self, method: str, path: str, body: Any = None) -> str:
        token = self._person.client.access_token
        status, answer = self._server.request(method, IM + path, body, token=token)
        assert status >= 400, answer
        return str(answer["errcode"])

    def friends(self) -> list[str]:
        return [friend["user_id"] for friend in self.ask("GET", "/friends")["items"]]


async def content_of(person: Person, room_id: str, event_type: str, state_key: str = "") -> dict[str, Any]:
    answer = await person.client.room_get_state_event(room_id, event_type, state_key)
    assert isinstance(answer, nio.RoomGetStateEventResponse), answer
    return dict(answer.content)


def test_a_friend_accepted_by_nio_is_a_friend(live_server: ServerProcess, tmp_path: Path) -> None:
    async def story(alice: Person, bob: Person) -> None:
        ann, ben = Facade(live_server, alice), Facade(live_server, bob)
        asked = ann.ask("POST", "/friends/requests", {"user_id": bob.client.user_id, "message": "it is me"})
        room = asked["room_id"]
        # A request is an invitation to a direct chat, with its message as the reason.
        await bob.sees(lambda: room in bob.client.invited_rooms, "the invitation")
        assert bob.client.invited_rooms[room].inviter == alice.client.user_id
        assert (await content_of(alice, room, "m.room.member", bob.client.user_id))["reason"] == "it is me"
        joined = await bob.client.join(room)
        assert isinstance(joined, nio.JoinResponse), joined
        assert ann.friends() == [bob.client.user_id]
        assert ben.friends() == [alice.client.user_id]
        said = ann.ask("POST", f"/conversations/{quote(room)}/messages", {"body": "hello"})
        await bob.hears(room, alice, "hello")
        await bob.says(room, "hello yourself")
        (newest,) = ann.ask("GET", f"/conversations/{quote(room)}/messages?limit=1")["items"]
        assert newest["body"] == "hello yourself"
        # A recall is a redaction; parting is leaving.
        ann.ask("PUT", f"/messages/{quote(said['event_id'])}/recall", {})
        event = await bob.client.room_get_event(room, said["event_id"])
        assert isinstance(event.event, nio.RedactedEvent), event
        left = await bob.client.room_leave(room)
        assert isinstance(left, nio.RoomLeaveResponse), left
        assert ann.friends() == []
        # Whoever left asks for more by a knock, and is a friend again when a stock client invites them.
        again = ben.ask("POST", "/friends/requests", {"user_id": alice.client.user_id})
        assert again["room_id"] == room
        await alice.syncs()
        invited = await alice.client.room_invite(room, bob.client.user_id)
        assert isinstance(invited, nio.RoomInviteResponse), invited
        await bob.sees(lambda: ann.friends() == [bob.client.user_id], "being let in")

    live(live_server, tmp_path, encrypted=False, story=story)


def test_nio_sees_what_is_done_in_a_group_and_does_it(live_server: ServerProcess, tmp_path: Path) -> None:
    async def story(alice: Person, bob: Person) -> None:
        ann, ben = Facade(live_server, alice), Facade(live_server, bob)
        wanted = {"name": "Cakes", "description": "What to bake", "members": [bob.client.user_id]}
        gid = ann.ask("POST", "/groups", wanted)["gid"]
        await bob.sees(lambda: gid in bob.client.invited_rooms, "the invitation")
        assert bob.client.invited_rooms[gid].display_name == "Cakes"
        joined = await bob.client.join(gid)
        assert isinstance(joined, nio.JoinResponse), joined
        await bob.sees(lambda: gid in bob.client.rooms, "the group")
        path = f"/groups/{quote(gid)}"
        assert [member["role"] for member in ann.ask("GET", f"{path}/members")["items"]] == [
            "owner",
            "member",
        ]
        # Roles and voices are power levels.
        ann.ask("PATCH", f"{path}/members/{bob.client.user_id}", {"role": "admin"})
        await bob.sees(
            lambda: bob.client.rooms[gid].power_levels.get_user_level(bob.client.user_id) == 50, "the role"
        )
        await bob.client.room_put_state(gid, "m.room.name", {"name": "Pies"})
        assert ann.ask("GET", path)["name"] == "Pies"
        ann.ask("PATCH", f"{path}/members/{bob.client.user_id}", {"role": "member"})
        ann.ask("PUT", f"{path}/mute", {"enabled": True})
        await bob.sees(
            lambda: bob.client.rooms[gid].power_levels.defaults.events_default == 50, "the silence"
        )
        refusal = await bob.client.room_send(gid, "m.room.message", {"msgtype": "m.text", "body": "hush"})
        assert isinstance(refusal, nio.RoomSendError), refusal
        assert ben.refused("POST", f"/conversations/{quote(gid)}/messages", {"body": "hush"}) == "IM_MUTED"
        ann.ask("PUT", f"{path}/mute", {"enabled": False})
        # An announcement is a message for all, and pinned.
        event_id = ann.ask("PUT", f"{path}/announcement", {"text": "Saturday!"})["event_id"]
        await bob.hears(gid, alice, "Saturday!")
        assert (await content_of(bob, gid, "m.room.pinned_events"))["pinned"] == [event_id]
        # Dissolving is silence, and everybody is removed.
        ann.ask("DELETE", path)
        async with asyncio.timeout(PATIENCE_S):
            while gid in (await bob.client.joined_rooms()).rooms:
                await bob.syncs(500)
        assert ben.ask("GET", path)["dissolved"]

    live(live_server, tmp_path, encrypted=False, story=story)


def test_nio_reads_moments_and_posts_some(live_server: ServerProcess, tmp_path: Path) -> None:
    async def story(alice: Person, bob: Person) -> None:
        ann, ben = Facade(live_server, alice), Facade(live_server, bob)
        asked = ann.ask("POST", "/friends/requests", {"user_id": bob.client.user_id})
        ben.ask("PUT", f"/friends/requests/{asked['request_id']}", {"action": "accept"})
        posted = ann.ask("POST", "/moments", {"text": "plum cake"})
        room, moment = posted["room_id"], posted["moment_id"]
        await bob.sees(lambda: room in bob.client.rooms, "the room of moments")
        await bob.hears(room, alice, "plum cake")
        # A like is a reaction, a comment is in the thread of the post.
        like = {"m.relates_to": {"rel_type": "m.annotation", "event_id": moment, "key": "❤️"}}
        comment = {
            "msgtype": "m.text",
            "body": "yum",
            "m.relates_to": {"rel_type": "m.thread", "event_id": moment},
        }
        for kind, content in (("m.reaction", like), ("m.room.message", comment)):
            sent = await bob.client.room_send(room, kind, content)
            assert isinstance(sent, nio.RoomSendResponse), sent
        seen = ann.ask("GET", f"/moments/{quote(moment)}")
        assert (seen["likes"], [one["body"] for one in seen["comments"]]) == ([bob.client.user_id], ["yum"])
        await alice.says(room, "from a stock client")
        texts = [one["text"] for one in ben.ask("GET", "/moments/timeline")["items"]]
        assert texts == ["from a stock client", "plum cake"]

    live(live_server, tmp_path, encrypted=False, story=story)
