"""A whole homeserver in memory: built as the real one is, over a virtual clock and seeded chance."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

import config
from homeserver.app.federation import Outside
from homeserver.app.server import Homeserver, build_homeserver
from homeserver.events.signatures import SigningKey
from homeserver.http.server import HttpServer
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import SeededRandomness
from homeserver.runtime.tasks import Tasks
from storage.worker import InlineWorker
from tests.fixtures.databases import EPOCH_S, Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client import Client
from tests.harness.configuration import PASSWORD, SHARED_SECRET, open_to_all
from tests.harness.media import media_directory
from tests.harness.user import Session, User
from tests.harness.watch import Watch

T = TypeVar("T")
U = TypeVar("U", bound=User)


async def _inline(fn: Callable[..., T], *args: Any) -> T:
    """Do slow work on the spot: time is virtual."""
    return fn(*args)


class Server:
    """One homeserver. `settings` are those of the configuration file."""

    def __init__(
        self,
        reactor: VirtualReactor,
        engine: Engine,
        *,
        name: str = "one.test",
        seed: int | str = 1,
        **settings: Any,
    ) -> None:
        self.name = name
        self.reactor = reactor
        self.clock = Clock(reactor, epoch_s=EPOCH_S)
        self.randomness = SeededRandomness(seed)
        self.signing_key = SigningKey.of("a_test", SeededRandomness(f"key of {name}").bytes(32))
        settings.setdefault("media_store_path", media_directory())
        self.config = config.parse(open_to_all(name, **settings))
        self.watch = Watch()
        self.access_lines: list[str] = []
        # The ways out, for tests that need some.
        self.outside: Outside | None = None
        self.network: Any = None
        # What it shares with other processes beside the database.
        self.shared: Any = None
        self._engine = engine
        self._clients: list[Client] = []
        self._homeserver: Homeserver | None = None
        self._http: HttpServer | None = None

    # Running.

    @property
    def homeserver(self) -> Homeserver:
        """The composed server, for what cannot be seen from outside."""
        assert self._homeserver is not None, f"{self.name} is not running"
        return self._homeserver

    async def starts(self) -> None:
        """Build the server over whatever the database has, and open its door."""
        notifier = Notifier()
        tasks = Tasks(self.clock)
        database = self._engine.open(self.clock, notifier, InlineWorker(self.clock))
        self._homeserver = await build_homeserver(
            self.config,
            database=database,
            clock=self.clock,
            notifier=notifier,
            tasks=tasks,
            randomness=self.randomness,
            executor=_inline,
            signing_keys=[self.signing_key],
            outside=self.outside,
            network=self.network,
            shared=self.shared,
        )
        await self._homeserver.start()
        self._http = HttpServer(
            self._homeserver.router, self.clock, write_access=self.access_lines.append, name="memory"
        )

    async def stops(self) -> None:
        """Shut down as SIGTERM does."""
        if self._homeserver is None or self._http is None:
            return
        stopping, self._homeserver = self._homeserver, None
        stopping.begin_stopping()
        await self._http.drain()
        await stopping.stop()
        self.watch.check()

    async def restarts(self) -> None:
        """Stop and start over the same data; everybody stays logged in."""
        await self.stops()
        await self.starts()

    # People.

    def buildProtocol(self, address: Any, /) -> Any:
        """A connection to whichever incarnation runs now: clients keep the server, not its process."""
        assert self._http is not None, f"{self.name} is not running"
        return self._http.buildProtocol(address)

    def client(self, access_token: str | None = None, *, address: str = "10.0.0.1") -> Client:
        """Somebody who speaks HTTP; nobody in particular without an access token."""
        return Client(self, self.watch, access_token=access_token, address=address)

    def user_id(self, localpart: str) -> UserID:
        return UserID(f"@{localpart}:{self.name}")

    @overload
    async def user(self, localpart: str, *, as_: type[U], password: str = PASSWORD, **body: Any) -> U: ...

    @overload
    async def user(self, localpart: str, *, password: str = PASSWORD, **body: Any) -> User: ...

    async def user(
        self, localpart: str, *, as_: type[User] = User, password: str = PASSWORD, **body: Any
    ) -> User:
        """Register somebody, who is then logged in on a first device; `as_` is what kind of user they become."""
        auth = {"type": "m.login.dummy"}
        answer = await self.client().request(
            "POST", "/register", {"username": localpart, "password": password, "auth": auth, **body}
        )
        return self._user(answer, password, as_)

    async def users(self, *localparts: str) -> list[User]:
        return [await self.user(localpart) for localpart in localparts]

    @overload
    async def logs_in(
        self, person: User | str, *, as_: type[U], password: str | None = None, **body: Any
    ) -> U: ...

    @overload
    async def logs_in(self, person: User | str, *, password: str | None = None, **body: Any) -> User: ...

    async def logs_in(
        self, person: User | str, *, as_: type[User] = User, password: str | None = None, **body: Any
    ) -> User:
        """Somebody on another device."""
        name = person if isinstance(person, str) else person.user_id
        password = password or (PASSWORD if isinstance(person, str) else person.password)
        identifier = {"type": "m.id.user", "user": name}
        answer = await self.client().request(
            "POST",
            "/login",
            {"type": "m.login.password", "identifier": identifier, "password": password, **body},
        )
        return self._user(answer, password, as_)

    async def guest(self) -> User:
        """A guest, if the configuration lets them in."""
        return self._user(await self.client().request("POST", "/register", {}, query={"kind": "guest"}), "")

    async def admin(self, localpart: str = "admin") -> User:
        """An administrator, registered with the shared secret as operators do."""
        path = "/_synapse/admin/v1/register"
        nonce = (await self.client().request("GET", path))["nonce"]
        said = f"{nonce}\0{localpart}\0{PASSWORD}\0admin".encode()
        body = {
            "nonce": nonce,
            "username": localpart,
            "password": PASSWORD,
            "admin": True,
            "mac": hmac.new(SHARED_SECRET.encode(), said, "sha1").hexdigest(),
        }
        return self._user(await self.client().request("POST", path, body), PASSWORD)

    def _user(self, answer: dict[str, Any], password: str, kind: type[User] = User) -> User:
        session = Session(UserID(answer["user_id"]), answer["device_id"], answer["access_token"], password)
        return kind(self, self.watch, self.clock.now_ms, session)

    # Time.

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)

    def drive(self, awaitable: Awaitable[T]) -> T:
        """Run a coroutine from a test that is none, as Hypothesis' are."""
        return self.reactor.drive(awaitable)
