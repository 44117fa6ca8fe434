"""The realtime stream of the IM API as a client hears it, over a socket or by polls."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.harness.im_user import ImUser, im_call
from tests.harness.server import Server
from tests.harness.socket import Socket

SUBPROTOCOL = "im.hearth.v1"
Frame = dict[str, Any]


def fits(frame: Frame, kind: str, wanted: dict[str, Any]) -> bool:
    return frame.get("type") == kind and all(frame.get(key) == value for key, value in wanted.items())


class ImSocket(Socket):
    """One socket of the IM API. `token` is the last token that it was told, `kept` what nobody has asked for yet."""

    def __init__(self, server: Server, headers: dict[str, str] | None = None, **query: str) -> None:
        self.token = ""
        self.kept: list[Frame] = []
        self._count = 0
        super().__init__(server, f"/im/v1/ws?{urlencode(query)}", headers or {})

    async def hears_next(self) -> Frame:
        frame = await self.receives()
        if frame["type"] == "token":
            self.token = frame["next_batch"]
        return frame

    async def hears(self, kind: str, **wanted: Any) -> Frame:
        """Wait for a frame like this; frames before it are kept for later."""
        for frame in self.kept:
            if fits(frame, kind, wanted):
                self.kept.remove(frame)
                return frame
        while not fits(frame := await self.hears_next(), kind, wanted):
            self.kept.append(frame)
        return frame

    async def catches_up(self) -> list[Frame]:
        """Everything up to the next token, beside what was kept."""
        frames, self.kept = self.kept, []
        while (frame := await self.hears_next())["type"] != "token":
            frames.append(frame)
        return frames

    async def does(self, op: str, **params: Any) -> Frame:
        """Ask for something, and take the answer out of what arrives."""
        self._count += 1
        request_id = f"r{self._count}"
        self.sends({"op": op, "id": request_id, **params})
        while (frame := await self.hears_next()).get("id") != request_id:
            self.kept.append(frame)
        return frame

    async def is_refused(self, op: str, errcode: str, **params: Any) -> None:
        answer = await self.does(op, **params)
        assert (answer["type"], answer.get("errcode")) == ("error", errcode), answer


async def follows(server: Server, user: ImUser, **query: str) -> ImSocket:
    """A socket of the user that has got its first token."""
    socket = ImSocket(server, {"Authorization": f"Bearer {user.stock.access_token}"}, **query)
    if await socket.is_answered() != 101:
        raise AssertionError(socket.head)
    if "since" not in query:
        await socket.hears("token")
    return socket


class Poller:
    """Follows by `/updates`."""

    def __init__(self, user: ImUser, since: str | None = None) -> None:
        self._user = user
        self.since = since

    async def polls(self, *, timeout_ms: int = 0) -> list[Frame]:
        query = {} if self.since is None else {"since": self.since}
        answer = await im_call(self._user.stock, "GET", "/updates", timeout=timeout_ms, **query)
        self.since = answer["next_batch"]
        return list(answer["items"])
