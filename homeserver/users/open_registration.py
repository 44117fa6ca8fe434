"""Registration as clients meet it: for whoever passes the stages, guests, and application services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, MissingParam
from homeserver.ids import UserID, localpart_of
from homeserver.users.appservice_identity import AppserviceDirectory
from homeserver.users.authentication import Authenticator
from homeserver.users.interactive_auth import Auth, InteractiveAuth
from homeserver.users.login import NotExclusive
from homeserver.users.registration import NewUser, Registration
from homeserver.users.registration_policy import RegistrationPolicy
from homeserver.users.sessions import NewSession, Session
from homeserver.users.stages import DUMMY
from homeserver.users.usernames import Usernames


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants who registers; without a `username` they get any, without `session` they are not
    logged in.
    """

    username: str | None
    password: str | None
    session: NewSession | None
    guest_access_token: str | None = None
    display_name: str | None = None


Prove = Callable[[], Awaitable[Any]]
"""Gives the result of a stage, or refuses."""


class OpenRegistration:
    """Decides who may register, and has the account made."""

    def __init__(
        self,
        registration: Registration,
        policy: RegistrationPolicy,
        usernames: Usernames,
        interactive_auth: InteractiveAuth,
        authenticator: Authenticator,
        appservices: AppserviceDirectory,
    ) -> None:
        self._registration = registration
        self._policy = policy
        self._usernames = usernames
        self._auth = interactive_auth
        self._authenticator = authenticator
        self._appservices = appservices

    async def register(self, wish: Wish, auth: Auth) -> tuple[UserID, Session | None]:
        """Register a user.

        Raises:
            Forbidden: registration is disabled.
            InvalidUsername, UserInUse, Exclusive: the name is not to be had.
            AuthenticationRequired: there are stages to pass.
        """
        self._policy.check_open()
        guest = await self._check_guest(wish)
        if guest is not None:
            user_id = guest
        elif wish.username is None:
            user_id = self._usernames.generate()
        else:
            user_id = self._usernames.parse(wish.username)
            await self._usernames.check_free(user_id)
        async with self._auth.proven(
            "POST /register", self._policy.flows(), auth, description="register an account"
        ) as proof:
            if wish.password is None:
                raise MissingParam("password is missing")
            if guest is not None:
                user = NewUser(user_id, wish.password, results=proof.results)
                return user_id, await self._registration.upgrade_guest(user, wish.session)
            return user_id, await self._make(user_id, wish, proof.results)

    async def register_with(
        self, wish: Wish, stage: str | None, prove: Prove, auth: Auth
    ) -> tuple[UserID, Session | None]:
        """Register a user who passes one stage by the request itself: `prove` gives its result.

        It is the last that is asked, so that a name that is taken costs no proof. With it, no password is needed.

        Raises:
            Forbidden: registration is disabled.
            InvalidUsername, UserInUse, Exclusive: the name is not to be had.
            ThreepidInUse: the address is somebody's.
            AuthenticationRequired: there are stages left to pass.
        """
        self._policy.check_open()
        user_id = (
            self._usernames.generate() if wish.username is None else self._usernames.parse(wish.username)
        )
        await self._usernames.check_free(user_id, even_if_hidden=True)
        if wish.password is None and stage is None:
            raise MissingParam("password is missing")
        if wish.password is not None:
            self._registration.check_strength(wish.password)
        left = [[one for one in flow if one != stage] for flow in self._policy.flows()]
        if auth is None and any(set(flow) <= {DUMMY} for flow in left):
            return user_id, await self._make(user_id, wish, await _results(stage, prove))
        async with self._auth.proven(
            "POST /register", left, auth, description="register an account"
        ) as proof:
            results = {**proof.results, **await _results(stage, prove)}
            return user_id, await self._make(user_id, wish, results)

    async def _make(self, user_id: UserID, wish: Wish, results: Mapping[str, Any]) -> Session | None:
        user = NewUser(
            user_id,
            wish.password,
            wish.display_name,
            is_approved=not self._policy.requires_approval,
            results=results,
        )
        return await self._registration.register(user, wish.session)

    async def register_guest(self, wanted: NewSession) -> Session:
        """Make an account for somebody who only wants to look round.

        Raises:
            Forbidden: guests are not allowed.
        """
        self._policy.check_open_to_guests()
        user = NewUser(self._usernames.generate("guest-"), is_guest=True)
        session = await self._registration.register(user, wanted)
        assert session is not None
        return session

    async def register_for_appservice(
        self, access_token: str | None, username: str, wanted: NewSession | None
    ) -> tuple[UserID, Session | None]:
        """Make an account for a user of an application service.

        Raises:
            Forbidden: the request is not of an application service.
            NotExclusive: the name is not in its namespaces.
            InvalidUsername, UserInUse: the name is not to be had.
        """
        service = None if access_token is None else self._appservices.find_by_token(access_token)
        if service is None:
            raise Forbidden("only application services may register users like this")
        user_id = self._usernames.parse(username, appservice_id=service.id)
        if not service.owns(user_id):
            raise NotExclusive(f"{user_id} is not a user of this application service")
        await self._usernames.check_free(user_id, even_if_hidden=True)
        return user_id, await self._registration.register(NewUser(user_id, appservice_id=service.id), wanted)

    async def check_available(self, username: str) -> None:
        """Refuse a name that cannot be registered.

        Raises:
            Forbidden: none can be.
            InvalidUsername, UserInUse, Exclusive: this one cannot.
        """
        self._policy.check_open()
        await self._usernames.check_free(self._usernames.parse(username))

    async def _check_guest(self, wish: Wish) -> UserID | None:
        """The guest who wants to become a full user.

        Raises:
            Forbidden: the token is no guest's, or the username is not theirs.
        """
        if wish.guest_access_token is None:
            return None
        who = await self._authenticator.requester_of(wish.guest_access_token)
        if who is None or not who.is_guest or wish.username != localpart_of(who.user_id):
            raise Forbidden("guest_access_token must be a guest's, and username their localpart")
        return who.user_id


async def _results(stage: str | None, prove: Prove) -> dict[str, Any]:
    return {} if stage is None else {stage: await prove()}
