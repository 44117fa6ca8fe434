"""People on servers that are processes: the verbs of the harness's users, over real HTTP in asyncio."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from yarl import URL

from homeserver.ids import UserID
from tests.conformance.validator import Answer
from tests.harness.configuration import PASSWORD
from tests.harness.process import ServerProcess
from tests.harness.user import Session, User
from tests.harness.watch import Watch

ANSWERS_WITHIN_S = 60
PATIENCE_MS = 20_000


class Unjudged(Watch):
    """The answers of a server that is not ours to judge."""

    def saw(self, method: str, target: str, body: bytes, answer: Answer) -> None:
        """Nothing is said of it."""


class Person(User):
    """A user of a server process. `waits_until` and `sees` wait in real time."""

    def __init__(self, place: Place, session: Session) -> None:
        super().__init__(None, place.watch, _now_ms, session)
        self.place = place
        self.localpart = session.user_id[1:].partition(":")[0]

    async def _carry(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        return await self.place.carry(method, target, headers, body)

    async def waits_until(self, holds: Any, what: str, *, within_ms: int = PATIENCE_MS) -> None:
        """See `User.waits_until`; other processes are not always quick."""
        await super().waits_until(holds, what, within_ms=max(within_ms, PATIENCE_MS))

    async def waits_for(self, ask: Callable[[], Awaitable[object]], wanted: object) -> None:
        """Ask until the answer is the wanted one; between two questions, hear what is new."""
        ends = _now_ms() + PATIENCE_MS
        found = await ask()
        while found != wanted:
            assert _now_ms() < ends, f"{self.user_id} finds {found}, not {wanted}"
            await self.syncs(timeout_ms=200)
            found = await ask()

    async def sees_redacted(self, room: str, event_id: str) -> None:
        """Wait until this server shows the event without its content."""

        async def content() -> Any:
            return (await self.event(room, event_id))["content"]

        await self.waits_for(content, {})


class Place:
    """A running server, as people reach it."""

    def __init__(self, process: ServerProcess, name: str, watch: Watch, http: aiohttp.ClientSession) -> None:
        self.process = process
        self.name = name
        self.watch = watch
        self._http = http

    async def carry(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """One request over TCP."""
        url = URL(self.process.base_url + target, encoded=True)
        async with self._http.request(
            method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            read = await answer.read()
            lower = {key.lower(): value for key, value in answer.headers.items()}
            return Answer(answer.status, lower, read)

    async def user(self, localpart: str) -> Person:
        """Somebody new, whose name begins so."""
        localpart = f"{localpart}{self.process.new_number()}"
        body = {"username": localpart, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        stranger = Person(self, Session(UserID(""), "", "", PASSWORD))
        answer = await stranger.request("POST", "/register", body, authenticated=False)
        session = Session(UserID(answer["user_id"]), answer["device_id"], answer["access_token"], PASSWORD)
        return Person(self, session)


def _now_ms() -> int:
    return int(time.time() * 1000)
