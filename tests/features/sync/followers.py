"""Three ways to follow, each on a device of its own, with all that a careful client does to miss nothing.

A follower pages back over every gap, asks again for keys that have changed, and drops what it is told to drop. Whatever
its transport, it must end with what a newcomer would be told, and be told of each event and each message once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.harness.client_state import ClientState
from tests.harness.refusals import Refused
from tests.harness.server import Server
from tests.harness.socket import Socket, opens_socket
from tests.harness.user import User

SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
WINDOW: dict[str, Any] = {
    "all": {"ranges": [[0, 9]], "timeline_limit": 3, "required_state": [["*", "*"]], "filters": {}}
}


class Follower:
    """What every follower knows, and how it learns it."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.is_busy = False
        self.timelines: dict[str, list[str]] = {}
        """The events that came by themselves since a room was last begun anew."""
        self.known: dict[str, set[str]] = {}
        """Those and all that were found by paging back."""
        self.messages: list[Mapping[str, Any]] = []
        self.keys: dict[str, Any] = {}
        """The keys of those who share a room, as far as they were asked for."""
        self.account: dict[str, Any] = {}

    # What is compared in the end.

    def membership(self, room_id: str) -> str | None:
        raise AssertionError("each follower says how it knows")

    def state(self, room_id: str) -> dict[tuple[str, str], str]:
        raise AssertionError("each follower says how it knows")

    # What arrives.

    async def takes_timeline(
        self, room_id: str, events: Iterable[Mapping[str, Any]], *, gap: str | None, is_new: bool
    ) -> None:
        """Events in order; `gap` is the token before them if something is missing there."""
        timeline = [] if is_new else self.timelines.get(room_id, [])
        self.timelines[room_id] = timeline
        for event in events:
            assert event["event_id"] not in timeline, f"{self} was told twice of {event}"
            timeline.append(event["event_id"])
        known = self.known.setdefault(room_id, set())
        known.update(timeline)
        while gap is not None:
            try:
                page = await self.user.messages(room_id, from_=gap, limit=50)
            except Refused:
                return
            known.update(event["event_id"] for event in page["chunk"])
            gap = page.get("end")

    async def takes_keys(self, lists: Mapping[str, Any], sharing: Iterable[str]) -> None:
        """Ask again for whoever has changed, and for those with whom a room is shared and who were never asked for."""
        for gone in lists.get("left", ()):
            self.keys.pop(gone, None)
        wanted = {*lists.get("changed", ()), *sharing} - {self.user.user_id}
        if wanted:
            asked: dict[str, list[str]] = {user: [] for user in wanted}
            answer = await self.user.request("POST", "/keys/query", {"device_keys": asked})
            self.keys |= {user: answer["device_keys"].get(user, {}) for user in wanted}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.user.user_id}>"


class SyncFollower(Follower):
    """One that is told `/sync` bodies."""

    def __init__(self, user: User) -> None:
        super().__init__(user)
        self.client = ClientState()

    def membership(self, room_id: str) -> str | None:
        room = self.client.rooms.get(room_id)
        return None if room is None else room.membership

    def state(self, room_id: str) -> dict[tuple[str, str], str]:
        return {key: event["event_id"] for key, event in self.client.rooms[room_id].state.items()}

    async def takes(self, answer: dict[str, Any]) -> None:
        is_first = self.client.since is None
        before = {room_id: room.membership for room_id, room in self.client.rooms.items()}
        for room_id in answer.get("rooms", {}).get("join", {}):
            if before.get(room_id) != "join":
                # A room that was left is begun anew.
                self.client.rooms.pop(room_id, None)
        self.client.apply(answer)
        self.messages += [event["content"] for event in answer.get("to_device", {}).get("events", ())]
        self.account = self.client.account_data
        for kind in ("join", "leave"):
            for room_id, section in answer.get("rooms", {}).get(kind, {}).items():
                timeline = section.get("timeline", {})
                is_new = before.get(room_id) != "join"
                gap = timeline.get("prev_batch") if timeline.get("limited") else None
                await self.takes_timeline(room_id, timeline.get("events", ()), gap=gap, is_new=is_new)
        sharing = self.sharing() if is_first else ()
        await self.takes_keys(answer.get("device_lists", {}), sharing)

    def sharing(self) -> set[str]:
        return {
            user
            for room in self.client.rooms.values()
            if room.membership == "join"
            for user, membership in room.members().items()
            if membership == "join"
        }


class Poller(SyncFollower):
    """One that polls."""

    async def looks(self, *, timeout_ms: int = 0, is_lost: bool = False) -> None:
        """Ask once; what is lost on its way back is as if it had never been asked for."""
        asked = {"since": self.client.since, "timeout": timeout_ms}
        answer = await self.user.request("GET", "/sync", query=asked)
        if not is_lost:
            await self.takes(answer)

    async def catches_up(self) -> None:
        while True:
            before = self.client.since
            await self.looks()
            if self.client.since == before:
                return


class Listener(SyncFollower):
    """One at the end of a WebSocket."""

    def __init__(self, user: User, server: Server) -> None:
        super().__init__(user)
        self._server = server
        self._socket: Socket | None = None

    async def connects(self) -> None:
        """Open a socket, in the place of one that vanishes."""
        if self._socket is not None:
            self._socket.vanishes()
        since: dict[str, Any] = {} if self.client.since is None else {"since": self.client.since}
        self._socket = opens_socket(self._server, self.user.access_token, presence="offline", **since)
        # A pong says that what came before the ping has been taken: what has only arrived may still be lost.
        self._socket.answers_pings = False
        await self._reads(self._socket)

    async def listens(self) -> None:
        """Take what has arrived already."""
        while self._socket is not None and self._socket.has_message:
            await self._reads(self._socket)

    async def _reads(self, socket: Socket) -> None:
        await self.takes(await socket.receives())
        if not socket.has_message:
            socket.pongs()

    async def catches_up(self) -> None:
        while True:
            answer = await self.user.request("GET", "/sync", query={"since": self.client.since, "timeout": 0})
            if not ({"rooms", "to_device", "device_lists", "account_data"} & answer.keys()):
                return
            assert self._socket is not None
            await self._reads(self._socket)


class Slider(Follower):
    """One that slides."""

    def __init__(self, user: User) -> None:
        super().__init__(user)
        self._pos: str | None = None
        self._received: str | None = None
        self._memberships: dict[str, str] = {}
        self._state: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self.room_data: dict[str, dict[str, Any]] = {}
        self.receipts: dict[str, dict[tuple[str, str], str]] = {}

    def membership(self, room_id: str) -> str | None:
        return self._memberships.get(room_id)

    def state(self, room_id: str) -> dict[tuple[str, str], str]:
        return {key: event["event_id"] for key, event in self._state[room_id].items()}

    async def starts_over(self) -> None:
        """Forget the connection, as a client does whose server has."""
        self._pos = None
        await self.looks()

    async def looks(self, *, timeout_ms: int = 0, is_lost: bool = False) -> bool:
        """Ask once; whether there was anything."""
        to_device = {"enabled": True} | ({} if self._received is None else {"since": self._received})
        names = ("receipts", "account_data", "e2ee")
        body = {
            "lists": WINDOW,
            "extensions": {"to_device": to_device, **{name: {"enabled": True} for name in names}},
        }
        is_first = self._pos is None
        query = f"?timeout={timeout_ms}" + ("" if is_first else f"&pos={self._pos}")
        answer = await self.user.request("POST", SLIDING + query, body)
        if is_lost:
            return True
        self._pos = answer["pos"]
        extensions = answer["extensions"]
        for room_id, room in answer["rooms"].items():
            await self._takes_room(room_id, room)
        self._received = extensions["to_device"]["next_batch"]
        messages = [event["content"] for event in extensions["to_device"]["events"]]
        self.messages += messages
        self._takes_data(extensions)
        lists = extensions["e2ee"].get("device_lists", {})
        await self.takes_keys(lists, self._sharing() if is_first else ())
        data = extensions["account_data"]
        return bool(answer["rooms"] or messages or lists or data["global"] or data["rooms"])

    async def catches_up(self) -> None:
        while await self.looks():
            pass

    async def _takes_room(self, room_id: str, room: Mapping[str, Any]) -> None:
        if "invite_state" in room:
            self._memberships[room_id] = "invite"
            return
        is_new = room.get("initial", False)
        state = {} if is_new else self._state.get(room_id, {})
        self._state[room_id] = state
        for event in room.get("required_state", []):
            state[event["type"], event["state_key"]] = event
        own = state.get(("m.room.member", self.user.user_id))
        self._memberships[room_id] = "leave" if own is None else own["content"]["membership"]
        gap = room.get("prev_batch") if room.get("limited") else None
        await self.takes_timeline(room_id, room.get("timeline", []), gap=gap, is_new=is_new)

    def _takes_data(self, extensions: Mapping[str, Any]) -> None:
        for event in extensions["account_data"]["global"]:
            self.account[event["type"]] = event["content"]
        for room_id, events in extensions["account_data"]["rooms"].items():
            self.room_data.setdefault(room_id, {}).update(
                {event["type"]: event["content"] for event in events}
            )
        for room_id, event in extensions["receipts"]["rooms"].items():
            places = self.receipts.setdefault(room_id, {})
            for event_id, by_type in event["content"].items():
                for kind, by_user in by_type.items():
                    places.update({(kind, user): event_id for user in by_user})

    def _sharing(self) -> set[str]:
        return {
            user
            for room_id, state in self._state.items()
            if self._memberships.get(room_id) == "join"
            for (kind, user), event in state.items()
            if kind == "m.room.member" and event["content"]["membership"] == "join"
        }
