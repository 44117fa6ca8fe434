"""What people on two servers do with one another through both APIs, as data that Hypothesis draws and shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.harness.client import segment
from tests.harness.im_user import ImUser
from tests.harness.network import Network
from tests.harness.refusals import Refused
from tests.harness.server import Server


@dataclass(frozen=True, slots=True)
class Deed:
    """Somebody (`who`) does `verb`, to somebody (`whom`) or something (`what`)."""

    verb: str
    who: int
    whom: int = 0
    what: int = 0

    def __repr__(self) -> str:
        return f"Deed({self.verb!r}, {self.who}, {self.whom}, {self.what})"


# How often each is done, relative to the others.
VERBS = {
    "asks": 12, "accepts": 12, "rejects": 2, "ignores": 1, "cancels": 2, "parts": 4, "blocks": 1, "unblocks": 1,
    "notes": 3, "says": 8, "pins": 2, "hides": 2, "clears": 1, "marks unread": 1, "takes back": 2, "posts": 5,
    "likes": 2, "comments": 2, "deletes a moment": 2, "makes a group": 2, "adds to a group": 3, "leaves a room": 2,
    "invites as a stock client": 4, "joins as a stock client": 6, "kicks as a stock client": 1,
    "redacts as a stock client": 2, "tags as a stock client": 2, "cuts": 1, "heals": 3, "restarts": 1, "waits": 4,
}  # fmt: skip

PEOPLE = 4

deeds = st.lists(
    st.builds(
        Deed,
        st.sampled_from([verb for verb, weight in VERBS.items() for _ in range(weight)]),
        st.integers(0, PEOPLE - 1),
        st.integers(0, PEOPLE - 1),
        st.integers(0, 7),
    ),
    min_size=10,
    max_size=45,
)


class Society:
    """The people, on two servers."""

    def __init__(self, network: Network, servers: Sequence[Server], people: Sequence[ImUser]) -> None:
        self._network = network
        self._servers = servers
        self.people = people

    async def does(self, deed: Deed) -> None:
        """Do it; whoever may not is refused, and nothing has happened."""
        who, whom = self.people[deed.who], self.people[deed.whom]
        try:
            await self._does(deed, who, whom)
        except Refused as refusal:
            assert refusal.status in (400, 403, 404, 409, 410, 413, 429, 502), refusal

    async def _does(self, deed: Deed, who: ImUser, whom: ImUser) -> None:
        match deed.verb:
            case "asks":
                await who.asks(whom, f"message {deed.what}")
            case "accepts" | "rejects" | "ignores" | "cancels":
                direction = "out" if deed.verb == "cancels" else "in"
                pending = await who.requests(direction, state="pending")
                if pending:
                    request = pending[deed.what % len(pending)]
                    await who.answers(request["request_id"], deed.verb.removesuffix("s"))
            case "parts":
                await who.parts_from(whom)
            case "blocks" | "unblocks":
                method = "PUT" if deed.verb == "blocks" else "DELETE"
                await who.call(method, f"/blocks/{whom.user_id}")
            case "notes":
                category = "default"
                if deed.what % 2:
                    made = await who.call("POST", "/friends/categories", {"name": f"category {deed.what}"})
                    category = made["id"]
                note = {"remark": f"remark {deed.what}" if deed.what else "", "category_id": category}
                await who.call("PATCH", f"/friends/{whom.user_id}", note)
            case "cuts":
                self._network.cut("one.test", "two.test")
            case "heals":
                self._network.heal()
            case "restarts":
                await self._servers[deed.what % 2].restarts()
            case "waits":
                await self._servers[0].passes((0.1, 2, 30, 600)[deed.what % 4])
            case _:
                await self._begins(deed, who, whom)

    async def _begins(self, deed: Deed, who: ImUser, whom: ImUser) -> None:
        match deed.verb:
            case "posts":
                visibility = ("friends", "public", "private")[deed.what % 3]
                post = {"text": f"moment {deed.what}", "visibility": visibility}
                await who.call("POST", "/moments", post)
            case "likes" | "comments" | "deletes a moment":
                await self._reacts(deed, who)
            case "makes a group":
                members = [whom.user_id] if whom is not who else []
                await who.call("POST", "/groups", {"name": f"group {deed.what}", "members": members})
            case "invites as a stock client":
                direct = deed.what % 2 == 0
                await who.stock.creates_room(inviting=whom.stock, is_direct=direct)
            case "joins as a stock client":
                await who.stock.syncs()
                for room_id, room in who.stock.client.rooms.items():
                    if room.membership == "invite":
                        await who.stock.joins(room_id)
                        return
            case _:
                cid = await self._room_of(who, deed.what)
                if cid is not None:
                    await self._talks(deed, who, whom, cid)

    async def _talks(self, deed: Deed, who: ImUser, whom: ImUser, cid: str) -> None:
        match deed.verb:
            case "says":
                await who.says(cid, f"message {deed.what}")
            case "pins":
                await who.call("PATCH", f"/conversations/{segment(cid)}", {"pinned": deed.what % 3 != 0})
            case "hides":
                await who.call("DELETE", f"/conversations/{segment(cid)}")
            case "clears":
                await who.call("POST", f"/conversations/{segment(cid)}/clear")
            case "marks unread":
                await who.call("PATCH", f"/conversations/{segment(cid)}", {"marked_unread": True})
            case "adds to a group":
                await who.call("POST", f"/groups/{segment(cid)}/members", {"user_ids": [whom.user_id]})
            case "leaves a room":
                await who.stock.leaves(cid)
            case "kicks as a stock client":
                await who.stock.kicks(cid, whom.stock)
            case "tags as a stock client":
                path = f"/user/{who.user_id}/rooms/{cid}/tags/m.favourite"
                await who.stock.request(
                    "DELETE" if deed.what % 3 == 0 else "PUT", path, {"order": 0.1 * deed.what}
                )
            case "takes back" | "redacts as a stock client":
                kind = "m.room.message" if deed.verb == "takes back" else "m.room.member"
                chunk = (await who.stock.messages(cid, limit=30))["chunk"]
                events = [event["event_id"] for event in chunk if event["type"] == kind]
                if events:
                    await who.stock.redacts(cid, events[deed.what % len(events)])
            case _:
                raise AssertionError(f"nobody knows how one {deed.verb}")

    async def _reacts(self, deed: Deed, who: ImUser) -> None:
        moments: list[dict[str, Any]] = (await who.call("GET", "/moments/timeline"))["items"]
        if not moments:
            return
        path = f"/moments/{segment(moments[deed.what % len(moments)]['moment_id'])}"
        if deed.verb == "likes":
            await who.call("PUT", f"{path}/like")
        elif deed.verb == "comments":
            await who.call("POST", f"{path}/comments", {"body": f"comment {deed.what}"})
        else:
            await who.call("DELETE", path)

    @staticmethod
    async def _room_of(who: ImUser, what: int) -> str | None:
        conversations = await who.conversations()
        return str(conversations[what % len(conversations)]["cid"]) if conversations else None
