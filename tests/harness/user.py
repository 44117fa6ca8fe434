"""People: one `User` is one logged-in device, and its verbs are what a person does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.ids import EventID, RoomID, UserID
from tests.conformance.validator import Answer
from tests.harness.client import Client, segment
from tests.harness.client_state import ClientState, KnownRoom
from tests.harness.refusals import Refused
from tests.harness.watch import Watch
from tests.harness.wire import Door


def id_of(person: User | str) -> str:
    """The user ID of somebody who may be named by it."""
    return person if isinstance(person, str) else person.user_id


@dataclass(frozen=True, slots=True)
class Session:
    """What a registration or login hands out, and the password that it was for."""

    user_id: UserID
    device_id: str
    access_token: str
    password: str


class User(Client):
    """A user on one device. `client` is what its client has learnt from `/sync`."""

    def __init__(
        self,
        door: Door | None,
        watch: Watch,
        now_ms: Callable[[], int],
        session: Session,
        *,
        address: str = "10.0.0.1",
    ) -> None:
        super().__init__(door, watch, access_token=session.access_token, address=address)
        self._now_ms = now_ms
        self.user_id = session.user_id
        self.device_id = session.device_id
        self.password = session.password
        self.client = ClientState()

    def __repr__(self) -> str:
        return f"<{self.user_id} on {self.device_id}>"

    # Rooms and memberships.

    async def creates_room(
        self,
        *,
        inviting: User | str | Iterable[User | str] = (),
        public: bool = False,
        version: str | None = None,
        **options: Any,
    ) -> RoomID:
        """Create a room; `options` are those of the endpoint."""
        people = [inviting] if isinstance(inviting, User | str) else list(inviting)
        body: dict[str, Any] = {"preset": "public_chat" if public else "private_chat"}
        if people:
            body["invite"] = [id_of(person) for person in people]
        if version is not None:
            body["room_version"] = version
        answer = await self.request("POST", "/createRoom", body | options)
        return RoomID(answer["room_id"])

    async def joins(self, room: str, *, via: Iterable[str] = (), **body: Any) -> RoomID:
        """Join a room by its ID or alias."""
        answer = await self.request("POST", f"/join/{segment(room)}", body, query={"via": list(via)})
        return RoomID(answer["room_id"])

    async def knocks(self, room: str, *, via: Iterable[str] = (), **body: Any) -> RoomID:
        answer = await self.request("POST", f"/knock/{segment(room)}", body, query={"via": list(via)})
        return RoomID(answer["room_id"])

    async def leaves(self, room: str, **body: Any) -> None:
        await self.request("POST", f"/rooms/{segment(room)}/leave", body)

    async def forgets(self, room: str) -> None:
        await self.request("POST", f"/rooms/{segment(room)}/forget")

    async def invites(self, room: str, person: User | str, **body: Any) -> None:
        await self.request("POST", f"/rooms/{segment(room)}/invite", {"user_id": id_of(person), **body})

    async def kicks(self, room: str, person: User | str, **body: Any) -> None:
        await self.request("POST", f"/rooms/{segment(room)}/kick", {"user_id": id_of(person), **body})

    async def bans(self, room: str, person: User | str, **body: Any) -> None:
        await self.request("POST", f"/rooms/{segment(room)}/ban", {"user_id": id_of(person), **body})

    async def unbans(self, room: str, person: User | str, **body: Any) -> None:
        await self.request("POST", f"/rooms/{segment(room)}/unban", {"user_id": id_of(person), **body})

    # Events.

    async def sends(
        self, room: str, event_type: str, content: Mapping[str, Any], *, transaction_id: str | None = None
    ) -> EventID:
        """Send an event that is not state."""
        txn = transaction_id or self.new_transaction_id()
        path = f"/rooms/{segment(room)}/send/{segment(event_type)}/{segment(txn)}"
        answer = await self.request("PUT", path, dict(content))
        return EventID(answer["event_id"])

    async def says(self, room: str, body: str, **content: Any) -> EventID:
        """Send a text message."""
        return await self.sends(room, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    async def sets(
        self, room: str, event_type: str, content: Mapping[str, Any], *, state_key: str = ""
    ) -> EventID:
        """Send a state event."""
        path = f"/rooms/{segment(room)}/state/{segment(event_type)}/{segment(state_key)}"
        answer = await self.request("PUT", path, dict(content))
        return EventID(answer["event_id"])

    async def redacts(self, room: str, event_id: str, **body: Any) -> EventID:
        path = f"/rooms/{segment(room)}/redact/{segment(event_id)}/{self.new_transaction_id()}"
        answer = await self.request("PUT", path, body)
        return EventID(answer["event_id"])

    async def state(self, room: str, event_type: str, state_key: str = "") -> dict[str, Any]:
        """The content of a state event."""
        return await self.request(
            "GET", f"/rooms/{segment(room)}/state/{segment(event_type)}/{segment(state_key)}"
        )

    async def whole_state(self, room: str) -> list[dict[str, Any]]:
        answer: Any = await self.request("GET", f"/rooms/{segment(room)}/state")
        return list(answer)

    async def event(self, room: str, event_id: str) -> dict[str, Any]:
        return await self.request("GET", f"/rooms/{segment(room)}/event/{segment(event_id)}")

    async def messages(self, room: str, **query: Any) -> dict[str, Any]:
        """A page of history, from the newest back unless `dir` says otherwise; `from_` is the token."""
        if "from_" in query:
            query["from"] = query.pop("from_")
        return await self.request("GET", f"/rooms/{segment(room)}/messages", query={"dir": "b", **query})

    async def members(self, room: str, **query: Any) -> dict[str, str]:
        """The memberships of a room."""
        answer = await self.request("GET", f"/rooms/{segment(room)}/members", query=query)
        return {event["state_key"]: event["content"]["membership"] for event in answer["chunk"]}

    # Files.

    async def uploads(
        self,
        data: bytes,
        *,
        content_type: str | None = "application/octet-stream",
        filename: str | None = None,
    ) -> str:
        """Upload a file; its `mxc://` URI."""
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = await self.request(
            "POST", "/_matrix/media/v3/upload", raw=data, headers=headers, query={"filename": filename}
        )
        uri: str = answer["content_uri"]
        return uri

    async def downloads(
        self, uri: str, name: str = "", *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask for a file, perhaps under another name."""
        path = "/_matrix/client/v1/media/download/" + uri.removeprefix("mxc://")
        return await self.ask("GET", path + (f"/{segment(name)}" if name else ""), headers=headers)

    # What passes.

    async def types_in(self, room: str, *, timeout_ms: int = 30_000) -> None:
        path = f"/rooms/{segment(room)}/typing/{segment(self.user_id)}"
        await self.request("PUT", path, {"typing": True, "timeout": timeout_ms})

    async def stops_typing_in(self, room: str) -> None:
        await self.request("PUT", f"/rooms/{segment(room)}/typing/{segment(self.user_id)}", {"typing": False})

    async def reads(self, room: str, event_id: str, *, receipt_type: str = "m.read", **body: Any) -> None:
        """Send a receipt."""
        path = f"/rooms/{segment(room)}/receipt/{receipt_type}/{segment(event_id)}"
        await self.request("POST", path, body)

    async def keeps(self, data_type: str, content: Mapping[str, Any], *, room: str | None = None) -> None:
        """Store account data, of a room if one is named."""
        where = f"/user/{segment(self.user_id)}" + (f"/rooms/{segment(room)}" if room else "")
        await self.request("PUT", f"{where}/account_data/{segment(data_type)}", dict(content))

    async def sets_profile(self, key: str, value: Any) -> None:
        await self.request("PUT", f"/profile/{segment(self.user_id)}/{key}", {key: value})

    # Sync.

    async def syncs(self, *, timeout_ms: int = 0, since: str | None = None, **query: Any) -> dict[str, Any]:
        """One `/sync` from where the client is (or from `since`); the client learns what it says."""
        asked = {"since": since or self.client.since, "timeout": timeout_ms, **query}
        answer = await self.request("GET", "/sync", query=asked)
        self.client.apply(answer)
        return answer

    def room(self, room: str) -> KnownRoom:
        """What the client knows of a room."""
        return self.client.rooms.get(room) or KnownRoom(membership="unknown")

    async def waits_until(
        self, holds: Callable[[ClientState], bool], what: str, *, within_ms: int = 10_000
    ) -> None:
        """Sync until something holds.

        Raises:
            AssertionError: it did not hold within the (virtual) time.
        """
        ends = self._now_ms() + within_ms
        while not holds(self.client):
            left = ends - self._now_ms()
            if left <= 0:
                raise AssertionError(f"{self.user_id} did not see {what}")
            await self.syncs(timeout_ms=min(left, 1000))

    async def sees(
        self,
        room: str,
        *bodies: str,
        event: str | None = None,
        typing: Iterable[User | str] | None = None,
        member: Mapping[Any, str] | None = None,
        state: Mapping[str, Mapping[str, Any]] | None = None,
        membership: str | None = None,
        read: Mapping[Any, str] | None = None,
        unread: int | None = None,
        highlights: int | None = None,
        within_ms: int = 10_000,
    ) -> None:
        """Sync until the client shows all of this of a room.

        `bodies` are messages in this order, perhaps with others between; `read` maps people to the event they read.
        """
        typists = None if typing is None else sorted(id_of(person) for person in typing)
        members = {id_of(person): wanted for person, wanted in (member or {}).items()}
        receipts = {("m.read", id_of(person), None): event_id for person, event_id in (read or {}).items()}

        def holds(client: ClientState) -> bool:
            known = client.rooms.get(room)
            return known is not None and all(
                (
                    _in_order(bodies, known.bodies()),
                    event is None or any(one["event_id"] == event for one in known.timeline),
                    typists is None or sorted(known.typing) == typists,
                    members.items() <= known.members().items(),
                    all(known.content(kind) == content for kind, content in (state or {}).items()),
                    membership is None or known.membership == membership,
                    receipts.items() <= known.receipts.items(),
                    unread is None or known.notification_count == unread,
                    highlights is None or known.highlight_count == highlights,
                )
            )

        asked = {
            key: value for key, value in locals().items() if value and key not in ("self", "holds", "room")
        }
        try:
            await self.waits_until(holds, f"in {room}: {asked}", within_ms=within_ms)
        except AssertionError as error:
            raise AssertionError(f"{error}\nbut {self.room(room)}") from None

    # Sessions.

    async def confirms(self, method: str, path: str, json: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A request that the user has to confirm with the password."""
        try:
            return await self.request(method, path, dict(json or {}))
        except Refused as refusal:
            if "flows" not in refusal.body:
                raise
            auth = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": self.user_id},
                "password": self.password,
                "session": refusal.body["session"],
            }
        return await self.request(method, path, {**(json or {}), "auth": auth})

    async def logs_out(self) -> None:
        await self.request("POST", "/logout")


def _in_order(wanted: Iterable[str], heard: list[str]) -> bool:
    remaining = iter(heard)
    return all(any(body == other for other in remaining) for body in wanted)
