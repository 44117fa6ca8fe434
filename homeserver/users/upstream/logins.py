"""Logging in through upstream providers: out of the browser and back into it, and then as whom.

A login belongs to the browser in which it began: its state is of no use in another, and what proves to the provider
that it is we who come back is made of the browser's secret, so none of it is stored.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import Forbidden, NotFound
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.oauth.browsers import Browser
from homeserver.users.registration import UPSTREAM, NewUser, Registration
from homeserver.users.upstream.mapping import Person, person_of
from homeserver.users.upstream.provider import UpstreamProvider
from homeserver.users.usernames import InvalidUsername, UserInUse, Usernames
from storage import threepids, upstream, users
from storage.database import Database
from storage.transaction import Transaction
from storage.upstream import Login

LIFETIME_MS = 15 * 60 * 1000
MAX_TRIES = 20


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody who has come back: who they are, or the state in which they choose a name."""

    next_path: str
    user_id: UserID | None = None
    state: str | None = None
    suggestion: str = ""


class UpstreamLogins:
    """Sends people to providers and takes them back."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        registration: Registration,
        usernames: Usernames,
        providers: Sequence[UpstreamProvider],
    ) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._registration = registration
        self._usernames = usernames
        self._providers = {provider.config.idp_id: provider for provider in providers}

    async def begin(self, provider_id: str, browser: Browser, next_path: str) -> str:
        """Where to send the browser.

        Raises:
            NotFound: there is no such provider.
            UpstreamFailed: it cannot be reached.
        """
        provider = self._provider(provider_id)
        state = self._randomness.token(32)
        url = await provider.authorization_url(
            state=state,
            nonce=_made_of(browser, "nonce", state),
            verifier=_made_of(browser, "verifier", state),
        )
        await self._remember(state, browser, provider_id, next_path)
        return url

    async def finish(self, browser: Browser, state: str, code: str) -> Arrived:
        """Whoever has come back with a code.

        Raises:
            Forbidden: the login did not begin in this browser, or the user may not log in here.
            UpstreamFailed: the provider does not say who they are.
        """
        login = await self._spend(state, browser)
        claims = await self._provider(login.provider).claims(
            code=code, nonce=_made_of(browser, "nonce", state), verifier=_made_of(browser, "verifier", state)
        )
        return await self._arrive(login, browser, claims)

    async def choose(self, browser: Browser, state: str, name: str) -> Arrived:
        """Give a new user the name that they wish for.

        Raises:
            Forbidden: they are not choosing one in this browser.
        """
        login = await self._spend(state, browser)
        if login.claims is None:
            raise Forbidden("this login has expired; go back and try again")
        claims = msgspec.json.decode(login.claims)
        provider = self._provider(login.provider)
        person = person_of(provider.config, claims)
        try:
            user_id = self._usernames.parse(name)
            await self._usernames.check_free(user_id, even_if_hidden=True)
            await self._create(login.provider, person, user_id)
        except (InvalidUsername, UserInUse):
            return await self._ask_for_name(login, browser, claims, name)
        return Arrived(login.next_path, user_id)

    async def _arrive(self, login: Login, browser: Browser, claims: Mapping[str, Any]) -> Arrived:
        config = self._provider(login.provider).config
        person = person_of(config, claims)
        known = await self._db.read(upstream.find_user, login.provider, person.subject)
        if known is not None:
            return Arrived(login.next_path, known)
        mapping = config.user_mapping_provider.config
        if person.localpart is not None and config.allow_existing_users:
            existing = self._usernames.parse(person.localpart)
            if await self._db.run(_link_existing, login.provider, person.subject, existing):
                return Arrived(login.next_path, existing)
        if not config.enable_registration:
            raise Forbidden("you have no account on this server")
        if person.localpart is None or mapping.confirm_localpart:
            return await self._ask_for_name(login, browser, claims, person.localpart or "")
        for number in range(MAX_TRIES):
            user_id = self._usernames.parse(f"{person.localpart}{number or ''}")
            try:
                await self._create(login.provider, person, user_id)
            except UserInUse:
                continue
            return Arrived(login.next_path, user_id)
        return await self._ask_for_name(login, browser, claims, person.localpart)

    async def _ask_for_name(
        self, login: Login, browser: Browser, claims: Mapping[str, Any], suggestion: str
    ) -> Arrived:
        state = self._randomness.token(32)
        await self._remember(state, browser, login.provider, login.next_path, msgspec.json.encode(claims))
        return Arrived(login.next_path, state=state, suggestion=suggestion)

    async def _create(self, provider_id: str, person: Person, user_id: UserID) -> None:
        results: dict[str, Any] = {UPSTREAM: (provider_id, person.subject)}
        if person.email is not None:
            # An address that somebody has is theirs, whatever a provider says.
            owner = await self._db.read(threepids.find_owner, "email", person.email)
            if owner is None:
                proved = {"medium": "email", "address": person.email, "validated_at": self._clock.now_ms()}
                results["m.login.email.identity"] = proved
        await self._registration.register(
            NewUser(user_id, display_name=person.display_name, results=results), None
        )

    def _provider(self, provider_id: str) -> UpstreamProvider:
        provider = self._providers.get(provider_id)
        if provider is None:
            raise NotFound(f"there is no identity provider {provider_id}")
        return provider

    async def _remember(
        self, state: str, browser: Browser, provider_id: str, next_path: str, claims: bytes | None = None
    ) -> None:
        now_ms = self._clock.now_ms()
        login = Login(provider_id, next_path, now_ms + LIFETIME_MS, claims)
        await self._db.run(_begin, state, browser.token, login, now_ms)

    async def _spend(self, state: str, browser: Browser) -> Login:
        login = None
        if not browser.is_new:
            login = await self._db.run(self._spend_in, state, browser.token)
        if login is None:
            raise Forbidden("this login did not begin in this browser, or has expired; go back and try again")
        return login

    def _spend_in(self, txn: Transaction, state: str, browser: str) -> Login | None:
        return upstream.spend(txn, state, browser, now_ms=self._clock.now_ms())


def _begin(txn: Transaction, state: str, browser: str, login: Login, now_ms: int) -> None:
    upstream.delete_expired(txn, now_ms)
    upstream.begin(txn, state, browser, login)


def _link_existing(txn: Transaction, provider_id: str, subject: str, user_id: UserID) -> bool:
    return users.exists(txn, user_id) and upstream.link(txn, provider_id, subject, user_id)


def _made_of(browser: Browser, what: str, state: str) -> str:
    digest = hmac.digest(browser.token.encode(), f"{what}\0{state}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
