"""Accounts: signing up, in and out, codes by e-mail, and the sessions that one has (IM API, part B.11)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import InvalidParam, MissingParam, NotFound
from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, Response
from homeserver.im.account_keeping import AccountKeeping, Proof
from homeserver.im.signing_in import NewPerson, SigningIn, SigningUp, sliding
from homeserver.im_api.classes import EMAIL_CODE, LOGIN, REGISTER, REST
from homeserver.users.devices import Devices
from homeserver.users.mail.codes import CodePurpose, CodeRules
from homeserver.users.sessions import Session, Sessions


class CodeBody(msgspec.Struct):
    email: str
    purpose: Literal["register", "login", "password", "delete"]


class RegisterBody(msgspec.Struct):
    """Name and password, or an address and its code, or both. `auth` answers what the server asks for beyond that."""

    username: str | None = None
    password: str | None = None
    email: str | None = None
    code: str | None = None
    phone: str | None = None
    nickname: str | None = None
    device_id: str | None = None
    device_name: str | None = None
    auth: dict[str, Any] | None = None


class Identifier(msgspec.Struct):
    """One of the ways to say who one is."""

    user: str | None = None
    email: str | None = None
    phone: str | None = None

    def as_matrix(self) -> dict[str, Any]:
        """The identifier object of the client-server API.

        Raises:
            InvalidParam: it says nothing, or too much.
        """
        given = [name for name in ("user", "email", "phone") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidParam("identifier: exactly one of user, email and phone must be given")
        if self.user is not None:
            return {"type": "m.id.user", "user": self.user}
        medium = "email" if self.email is not None else "msisdn"
        return {"type": "m.id.thirdparty", "medium": medium, "address": self.email or self.phone}


class LoginBody(msgspec.Struct):
    """With `as_token`, a code gives a token for stock clients instead of a session."""

    type: Literal["password", "email_code"]
    identifier: Identifier
    password: str | None = None
    code: str | None = None
    device_id: str | None = None
    device_name: str | None = None
    as_token: bool = False


class RefreshBody(msgspec.Struct):
    refresh_token: str


class LogoutBody(msgspec.Struct):
    all: bool = False


class PasswordBody(msgspec.Struct):
    """Who is logged in proves themselves by the old password or a code, who is not by an address and its code."""

    new_password: str
    old_password: str | None = None
    email: str | None = None
    code: str | None = None
    logout_devices: bool = True


class AccountEndpoints:
    """From nobody to somebody with a session."""

    def __init__(
        self,
        signing_up: SigningUp,
        signing_in: SigningIn,
        keeping: AccountKeeping,
        rules: CodeRules,
    ) -> None:
        self._signing_up = signing_up
        self._signing_in = signing_in
        self._keeping = keeping
        self._rules = rules

    @endpoint("POST", "/im/v1/auth/email/code", auth=Auth.NONE, rate_limit=EMAIL_CODE)
    async def send_email_code(self, body: CodeBody) -> Response:
        """Have six digits mailed to an address. The answer is the same whether or not anybody has it."""
        await self._signing_up.send_code(CodePurpose(body.purpose), body.email)
        rules = self._rules
        answer = {"expires_in": rules.lifetime_ms // 1000, "resend_after": rules.resend_after_ms // 1000}
        return Response(202, answer)

    @endpoint("POST", "/im/v1/auth/register", auth=Auth.NONE, rate_limit=REGISTER)
    async def register_account(self, body: RegisterBody) -> dict[str, Any]:
        """Make an account, and log in to it."""
        if body.phone is not None:
            raise InvalidParam(
                "phone: a number is proved by `auth` (m.login.msisdn), where the server offers that"
            )
        person = NewPerson(body.username, body.password, body.nickname, body.email, body.code)
        session = sliding(body.device_id, body.device_name)
        return _begun(await self._signing_up.register(person, session, body.auth))

    @endpoint("POST", "/im/v1/auth/login", auth=Auth.NONE, rate_limit=LOGIN)
    async def log_in(self, body: LoginBody) -> dict[str, Any]:
        """Log in, with a password or with a code."""
        session = sliding(body.device_id, body.device_name)
        if body.type == "password":
            identifier = body.identifier.as_matrix()
            return _begun(await self._signing_in.by_password(identifier, body.password, session))
        if body.identifier.email is None:
            raise MissingParam("identifier.email is missing")
        if body.code is None:
            raise MissingParam("code is missing")
        if body.as_token:
            return await self._signing_in.token_by_code(body.identifier.email, body.code)
        return _begun(await self._signing_in.by_code(body.identifier.email, body.code, session))

    @endpoint("POST", "/im/v1/auth/password", auth=Auth.ACCESS_TOKEN_OPTIONAL, rate_limit=LOGIN)
    async def set_password(self, who: Requester | None, body: PasswordBody) -> Empty:
        """Choose another password."""
        if who is not None:
            proof = Proof(body.old_password, body.email, body.code)
            await self._keeping.change_password(
                who, proof, body.new_password, logout_devices=body.logout_devices
            )
        elif body.email is None or body.code is None:
            raise MissingParam("email and code, or an access token, must be given")
        else:
            await self._keeping.reset_password(
                body.email, body.code, body.new_password, logout_devices=body.logout_devices
            )
        return Empty()


class SessionEndpoints:
    """The sessions that one has: a device each."""

    def __init__(self, sessions: Sessions, devices: Devices) -> None:
        self._sessions = sessions
        self._devices = devices

    @endpoint("POST", "/im/v1/auth/refresh", auth=Auth.NONE, rate_limit=LOGIN)
    async def refresh_session(self, body: RefreshBody) -> dict[str, Any]:
        """Exchange a refresh token for new tokens."""
        return _begun(await self._sessions.refresh(body.refresh_token))

    @endpoint("POST", "/im/v1/auth/logout", rate_limit=REST, locked=True)
    async def log_out(self, who: Requester, body: LogoutBody) -> Empty:
        """End this session, or all that one has."""
        if body.all:
            await self._sessions.end_all(who.user_id)
        else:
            await self._sessions.end(who)
        return Empty()

    @endpoint("GET", "/im/v1/auth/sessions", rate_limit=REST)
    async def list_sessions(self, who: Requester) -> dict[str, Any]:
        """Where one is logged in."""
        devices = await self._devices.list_of_user(who.user_id)
        items = [
            {
                "id": device.device_id,
                "name": device.display_name,
                "last_seen_ts": device.last_seen_ms,
                "last_seen_ip": device.last_seen_ip,
                "current": device.device_id == who.device_id,
            }
            for device in devices
        ]
        return {"items": items}

    @endpoint("DELETE", "/im/v1/auth/sessions/{session_id}", rate_limit=REST)
    async def end_session(self, who: Requester, session_id: str) -> Empty:
        """End a session, by its device or by the name (`jti`) of its token."""
        if not await self._sessions.end_named(who.user_id, session_id):
            raise NotFound(f"no session {session_id}")
        return Empty()


def _begun(session: Session) -> dict[str, Any]:
    answer = session.answer()
    del answer["home_server"]
    return answer
