"""User-interactive authentication: a request goes through once enough stages have been passed for it.

A session belongs to one operation and one user, and is spent by the request that it lets through: that
request claims it, and gives it back only if it fails, so that a name taken in the meantime does not cost a
second captcha.
Spec: https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from homeserver.errors import BadJson, Forbidden, InvalidParam, MatrixError, NotFound
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.fallback import Form
from storage import uia
from storage.database import Database
from storage.transaction import Transaction
from storage.uia import AuthSession

SESSION_LIFETIME_MS = 24 * 3600 * 1000
_SWEEP_AT_ONCE = 100

Flows = Sequence[Sequence[str]]
Auth = Mapping[str, Any] | None
"""The `auth` object of a request."""


class StageRefused(MatrixError):
    """An attempt on a stage failed; the client is told so with what is left to do, and may try again."""

    status = 401
    errcode = "M_FORBIDDEN"


class AuthenticationRequired(MatrixError):
    """The client has stages to pass. Unless an attempt was refused, the answer has no `errcode`."""

    status = 401
    errcode = "M_UNAUTHORIZED"

    def __init__(self, challenge: Mapping[str, Any], refused: MatrixError | None = None) -> None:
        super().__init__("authentication required" if refused is None else refused.error, **challenge)
        self._refused = refused

    def body(self) -> dict[str, Any]:
        """The challenge, with the reason if an attempt was refused."""
        return {**(self._refused.body() if self._refused else {}), **self.extra}


class Stage(Protocol):
    """One kind of proof. `type` is its name on the wire."""

    @property
    def type(self) -> str: ...

    async def params(self, session: AuthSession) -> Mapping[str, Any] | None:
        """What the client needs to know to pass the stage."""

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """The result of a successful attempt (JSON: it is kept and handed to the operation).

        Raises:
            MatrixError: the attempt failed; the client is told why and may make another.
        """

    async def is_available_to(self, user_id: UserID) -> bool:
        """Whether this user can prove to be themselves in this way."""

    async def fallback_form(self, session: AuthSession) -> Form | None:
        """What the stage's page asks for (its fields become the `auth` object); None if it has no page."""

    async def abandoned(self, session: AuthSession) -> None:
        """A session will not be finished: undo what the stage did for it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What has been proved for a request: the result of each stage."""

    session_id: str
    results: Mapping[str, Any]


class InteractiveAuth:
    """Runs the sessions; the stages know how each proof is given.

    For `reuse_ms` after its beginning, a session that a user has passed lets more requests of the same kind
    through, where the operation allows that.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        stages: Sequence[Stage],
        *,
        reuse_ms: int = 0,
        lifetime_ms: int = SESSION_LIFETIME_MS,
    ) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._stages = {stage.type: stage for stage in stages}
        self._reuse_ms = reuse_ms
        self._lifetime_ms = lifetime_ms

    @property
    def stages(self) -> Mapping[str, Stage]:
        """Every stage there is, by type."""
        return self._stages

    @asynccontextmanager
    async def proven(
        self,
        operation: str,
        flows: Flows,
        auth: Auth,
        *,
        user_id: UserID | None = None,
        description: str = "",
        may_reuse: bool = False,
    ) -> AsyncIterator[Proof]:
        """Run the block once the client has passed a flow; its session is spent unless the block fails.

        Raises:
            AuthenticationRequired: stages are left to pass, or the last attempt failed.
        """
        session = await self._advance(operation, flows, auth, user_id, description)
        session_id = session.session_id
        if not await self._db.run(uia.claim, session_id):
            raise Forbidden("this authentication session is being used")
        try:
            yield Proof(session_id, dict(session.completed))
        except Exception:
            await self._db.run(partial(uia.release, passed=session.is_passed), session_id)
            raise
        if may_reuse and self._is_reusable(session):
            await self._db.run(partial(uia.release, passed=True), session_id)
        else:
            await self._db.run(uia.delete, session_id)

    @asynccontextmanager
    async def proven_by_user(
        self, operation: str, auth: Auth, user_id: UserID, *, description: str, may_reuse: bool = False
    ) -> AsyncIterator[Proof]:
        """As `proven`: the user proves to be who the access token says, in whichever way they can.

        Raises:
            Forbidden: they have no means to do so.
        """
        flows = await self.flows_of(user_id)
        if not flows:
            raise Forbidden("this account has no means to confirm your identity")
        async with self.proven(
            operation, flows, auth, user_id=user_id, description=description, may_reuse=may_reuse
        ) as proof:
            yield proof

    async def flows_of(self, user_id: UserID) -> list[list[str]]:
        """The ways in which a user can prove to be themselves, each by one stage."""
        return [[stage.type] for stage in self._stages.values() if await stage.is_available_to(user_id)]

    async def load_session(self, session_id: str) -> AuthSession:
        """A session that has not expired.

        Raises:
            NotFound: there is none of that name.
        """
        session = await self._db.read(uia.find, session_id)
        if session is None or session.created_ms < self._clock.now_ms() - self._lifetime_ms:
            raise NotFound("unknown or expired authentication session")
        return session

    async def attempt(self, session_id: str, stage_type: str, auth: Mapping[str, Any]) -> None:
        """Pass a stage out of band, from its fallback page or a link in an email.

        Raises:
            MatrixError: the attempt failed, or there is no such session or stage.
        """
        session = await self.load_session(session_id)
        stage = self._stages.get(stage_type)
        if stage is None:
            raise NotFound(f"unknown authentication stage {stage_type}")
        result = await stage.check(auth, session)
        await self._db.run(uia.complete_stage, session_id, stage_type, result)

    async def _advance(
        self, operation: str, flows: Flows, auth: Auth, user_id: UserID | None, description: str
    ) -> AuthSession:
        """The session of a request that may go through."""
        session_id = None if auth is None else auth.get("session")
        session = await self._open(session_id, operation, user_id, description)
        attempted = None if auth is None else auth.get("type")
        if auth is not None and attempted is not None:
            if not isinstance(attempted, str):
                raise BadJson("auth.type must be a string")
            session = await self._attempt(attempted, auth, flows, session)
        if not _is_complete(flows, session):
            raise AuthenticationRequired(await self._challenge(flows, session))
        return session

    async def _attempt(
        self, attempted: str, auth: Mapping[str, Any], flows: Flows, session: AuthSession
    ) -> AuthSession:
        done = [stage for stage, _ in session.completed]
        if attempted in done:
            return session
        if not any(list(flow[: len(done)]) == done and attempted in flow[len(done) :][:1] for flow in flows):
            reason = StageRefused(f"{attempted} is not what comes next", errcode="M_UNRECOGNIZED")
            raise AuthenticationRequired(await self._challenge(flows, session), reason)
        try:
            result = await self._stages[attempted].check(auth, session)
        except MatrixError as error:
            if error.http_status not in (400, 401, 403):
                raise
            raise AuthenticationRequired(await self._challenge(flows, session), error) from None
        completed = await self._db.run(uia.complete_stage, session.session_id, attempted, result)
        if completed is None:
            raise InvalidParam("the authentication session has ended")
        return completed

    async def _open(
        self, session_id: Any, operation: str, user_id: UserID | None, description: str
    ) -> AuthSession:
        """The client's session, or a new one.

        COMPAT(clients): some send `auth` with a stage but without a session; they begin one by it.
        """
        if session_id is None:
            return await self._begin(operation, user_id, description)
        if not isinstance(session_id, str):
            raise BadJson("auth.session must be a string")
        try:
            session = await self.load_session(session_id)
        except NotFound as error:
            raise InvalidParam(error.error) from None
        if session.operation != operation or session.user_id != user_id:
            raise Forbidden("this authentication session is for another request")
        if session.is_passed and not self._is_reusable(session):
            return await self._begin(operation, user_id, description)
        return session

    def _is_reusable(self, session: AuthSession) -> bool:
        return self._clock.now_ms() - session.created_ms < self._reuse_ms

    async def _begin(self, operation: str, user_id: UserID | None, description: str) -> AuthSession:
        now_ms = self._clock.now_ms()
        session = AuthSession(self._randomness.token(24), now_ms, operation, user_id, description, [], {})
        expired = await self._db.run(_add_and_sweep, session, now_ms - self._lifetime_ms)
        for old in expired:
            for stage in self._stages.values():
                await stage.abandoned(old)
        return session

    async def _challenge(self, flows: Flows, session: AuthSession) -> dict[str, Any]:
        params = {}
        for name in dict.fromkeys(stage for flow in flows for stage in flow):
            about = await self._stages[name].params(session)
            if about is not None:
                params[name] = about
        challenge: dict[str, Any] = {
            "flows": [{"stages": list(flow)} for flow in flows],
            "params": params,
            "session": session.session_id,
        }
        if session.completed:
            challenge["completed"] = [stage for stage, _ in session.completed]
        return challenge


def _is_complete(flows: Flows, session: AuthSession) -> bool:
    done = {stage for stage, _ in session.completed}
    return any(done.issuperset(flow) for flow in flows)


def _add_and_sweep(txn: Transaction, session: AuthSession, before_ms: int) -> list[AuthSession]:
    """Add a session and take some of those away that have expired, so that they never pile up."""
    expired = []
    for session_id in uia.list_before(txn, before_ms, limit=_SWEEP_AT_ONCE):
        old = uia.find(txn, session_id)
        uia.delete(txn, session_id)
        if old is not None:
            expired.append(old)
    uia.add(txn, session)
    return expired
