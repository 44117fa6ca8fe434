"""People who use the IM API: the same accounts, other verbs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tests.harness.client import Client, segment
from tests.harness.refusals import Refused
from tests.harness.user import User, id_of

T = TypeVar("T")
API = "/im/v1"
PATIENCE = 30
"""How often somebody looks again, a second apart, before they give up."""


class ImUser:
    """A user with both APIs: `stock` is the same device as a Matrix client."""

    def __init__(self, stock: User) -> None:
        self.stock = stock
        self.user_id = stock.user_id

    def __repr__(self) -> str:
        return f"<{self.user_id} by IM>"

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """One request; `from_` is the place in a list."""
        return await im_call(self.stock, method, path, body, **query)

    # Friends.

    async def asks(self, person: ImUser | User | str, message: str = "", **body: Any) -> dict[str, Any]:
        """Send a friend request."""
        target = person.user_id if isinstance(person, ImUser) else id_of(person)
        return await self.call("POST", "/friends/requests", {"user_id": target, "message": message, **body})

    async def requests(self, direction: str = "in", **query: Any) -> list[dict[str, Any]]:
        answer = await self.call("GET", "/friends/requests", direction=direction, **query)
        return list(answer["items"])

    async def answers(self, request_id: str, action: str, **body: Any) -> dict[str, Any]:
        return await self.call("PUT", f"/friends/requests/{segment(request_id)}", {"action": action, **body})

    async def accepts(self, person: ImUser | User) -> str:
        """Accept the request of somebody; the room of the two."""
        for request in await self.requests(state="pending"):
            if request["user"]["user_id"] == person.user_id:
                answer = await self.answers(request["request_id"], "accept")
                return str(answer["room_id"])
        raise AssertionError(f"{self} has no request of {person}")

    async def befriends(self, person: ImUser) -> str:
        """Ask and be accepted; the room of the two."""
        await self.asks(person)
        return await person.accepts(self)

    async def friends(self, **query: Any) -> list[str]:
        answer = await self.call("GET", "/friends", **query)
        return [friend["user_id"] for friend in answer["items"]]

    async def parts_from(self, person: ImUser, **query: Any) -> None:
        await self.call("DELETE", f"/friends/{segment(person.user_id)}", **query)

    # What one sees of others in time, whichever server they are on.

    async def _sees(self, asks: Callable[[], Awaitable[T]], wanted: T, what: str) -> None:
        """Ask, and follow along, until the answer is as wanted."""
        seen = await asks()
        for _ in range(PATIENCE):
            if seen == wanted:
                return
            await self.stock.syncs(timeout_ms=1000)
            seen = await asks()
        raise AssertionError(f"{self} sees the {what} {seen}, not {wanted}")

    async def sees_friends(self, *people: ImUser) -> None:
        """These, and nobody else, are friends in the end."""

        async def asks() -> list[str]:
            return sorted(await self.friends())

        await self._sees(asks, sorted(str(person.user_id) for person in people), "friends")

    async def sees_mutual(self, friend: ImUser, *people: ImUser) -> None:
        """These are friends of both in the end, and those are all."""

        async def asks() -> tuple[list[str], bool]:
            answer = await self.call("GET", f"/friends/{segment(friend.user_id)}/mutual")
            return [person["user_id"] for person in answer["items"]], answer["complete"]

        await self._sees(asks, (sorted(str(person.user_id) for person in people), True), "friends in common")

    async def reads_moments_of(self, author: ImUser) -> None:
        """They are in the room of somebody's moments for friends in the end."""

        await self._sees(lambda: self.is_reading(author), wanted=True, what=f"moments of {author}")

    async def loses_moments_of(self, author: ImUser) -> None:
        await self._sees(lambda: self.is_reading(author), wanted=False, what=f"moments of {author}")

    async def is_reading(self, author: ImUser) -> bool:
        """Whether they are in the room of somebody's moments for friends."""
        return await self.moments_room_of(author) != ""

    async def moments_room_of(self, author: ImUser) -> str:
        """The room of somebody's moments for friends, if they are in it."""
        await self.stock.syncs()
        for room_id, room in self.stock.client.rooms.items():
            created = room.state.get(("m.room.create", ""), {})
            is_theirs = created.get("sender") == author.user_id and room.membership == "join"
            if is_theirs and created["content"].get("im.hearth.visibility") == "friends":
                return room_id if room.members().get(author.user_id) == "join" else ""
        return ""

    async def moments(self) -> list[str]:
        return [moment["text"] for moment in (await self.call("GET", "/moments/timeline"))["items"]]

    async def sees_moments(self, *texts: str) -> None:
        """These are the moments of the timeline in the end, the newest first."""
        await self._sees(self.moments, list(texts), "moments")

    async def sees_comments(self, moment: str, *bodies: str) -> None:
        async def asks() -> list[str]:
            answer = await self.call("GET", f"/moments/{segment(moment)}")
            return [comment["body"] for comment in answer["comments"]]

        await self._sees(asks, list(bodies), "comments")

    async def sees_nothing_in(self, path: str) -> None:
        """A list is empty in the end."""

        async def asks() -> list[Any]:
            return list((await self.call("GET", path))["items"])

        await self._sees(asks, [], path)

    async def sees_role(self, gid: str, person: ImUser, role: str) -> None:
        """Somebody has this role in a group in the end."""

        async def asks() -> str:
            items = (await self.call("GET", f"/groups/{gid}/members"))["items"]
            return next((item["role"] for item in items if item["user_id"] == person.user_id), "none")

        await self._sees(asks, role, f"role of {person}")

    async def sees_muted_group(self, gid: str) -> None:
        """Only admins may speak in a group in the end."""

        async def asks() -> bool:
            return bool((await self.call("GET", f"/groups/{gid}"))["muted_all"])

        await self._sees(asks, wanted=True, what="silence of the group")

    async def sees_requests(self, *states: str, direction: str = "in") -> None:
        """The requests are in these states in the end, the newest first."""

        async def asks() -> list[str]:
            return [request["state"] for request in await self.requests(direction)]

        await self._sees(asks, list(states), "requests")

    async def sees_request(self, person: ImUser) -> dict[str, Any]:
        """The pending request of somebody, when it has come."""
        for _ in range(PATIENCE):
            for request in await self.requests(state="pending"):
                if request["user"]["user_id"] == person.user_id:
                    return request
            await self.stock.syncs(timeout_ms=1000)
        raise AssertionError(f"{self} sees no request of {person}")

    # Conversations.

    async def conversations(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.call("GET", "/conversations", **query)
        return list(answer["items"])

    async def conversation(self, cid: str) -> dict[str, Any]:
        return await self.call("GET", f"/conversations/{segment(cid)}")

    async def says(self, cid: str, text: str, **body: Any) -> dict[str, Any]:
        """Send a text message."""
        return await self.call("POST", f"/conversations/{segment(cid)}/messages", {"body": text, **body})

    async def history(self, cid: str, **query: Any) -> dict[str, Any]:
        return await self.call("GET", f"/conversations/{segment(cid)}/messages", **query)

    async def reads(self, cid: str, **body: Any) -> dict[str, Any]:
        return await self.call("PUT", f"/conversations/{segment(cid)}/read", body)

    async def unread(self, cid: str) -> int:
        return int((await self.conversation(cid))["unread"])


async def im_call(client: Client, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
    """One request of the IM API; an empty answer is an empty object."""
    if "from_" in query:
        query["from"] = query.pop("from_")
    answer = await client.ask(method, API + path, body, query=query)
    if answer.status >= 300:
        raise Refused(f"{method} {path}", answer)
    result: dict[str, Any] = answer.json if answer.body else {}
    return result
