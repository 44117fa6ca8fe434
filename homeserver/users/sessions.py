"""Sessions: a device with an access token, perhaps a refresh token, from login to logout.

Spec: https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.tokens import TokensConfig
from homeserver.errors import UnknownToken
from homeserver.http.requester import Requester
from homeserver.ids import DeviceID, UserID, domain_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users import session_events
from homeserver.users.devices import Devices, check_display_name, parse_device_id
from homeserver.users.signed_tokens import Sliding
from storage import devices as device_rows
from storage import tokens
from storage.database import Database
from storage.tokens import RefreshToken
from storage.transaction import Transaction

_DEVICE_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Session:
    """What a client gets that has logged in; `expires_in_ms` is None for an access token that does not
    expire.
    """

    user_id: UserID
    device_id: DeviceID
    access_token: str
    refresh_token: str | None = None
    expires_in_ms: int | None = None

    def answer(self) -> dict[str, Any]:
        """The answer to a login or registration."""
        answer: dict[str, Any] = {
            "user_id": self.user_id,
            "home_server": domain_of(self.user_id),
            "device_id": self.device_id,
            "access_token": self.access_token,
        }
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        if self.expires_in_ms is not None:
            answer["expires_in_ms"] = self.expires_in_ms
        return answer


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a client asks for when it logs in."""

    device_id: DeviceID | None = None
    display_name: str | None = None
    wants_refresh: bool = False
    scope: str | None = None
    slides: bool = False
    """Whether it is to live for as long as it is used, with a refresh token."""

    @classmethod
    def parse(
        cls, device_id: str | None, display_name: str | None, *, wants_refresh: bool = False
    ) -> NewSession:
        """From the fields of a login request.

        Raises:
            InvalidParam: the device ID is none.
            TooLarge: the display name is too long.
        """
        return cls(
            None if device_id is None else parse_device_id(device_id),
            None if display_name is None else check_display_name(display_name),
            wants_refresh,
        )


class Sessions:
    """Begins, refreshes and ends sessions."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        devices: Devices,
        lifetimes: TokensConfig,
        sliding: Sliding | None = None,
    ) -> None:
        self._sliding = sliding or Sliding()
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._devices = devices
        self._lifetimes = lifetimes

    def new_token(self, kind: str) -> str:
        """A secret nobody can guess; `kind` (hat, hrt, hlt...) tells people who find it in a log what they
        found.
        """
        return f"{kind}_{self._randomness.token(32)}"

    async def begin(self, user_id: UserID, wanted: NewSession) -> Session:
        """Log a user in: their device gets a token, and those it had before stop working."""
        session: Session = await self._db.run(self.begin_in, user_id, wanted)
        return session

    def begin_in(self, txn: Transaction, user_id: UserID, wanted: NewSession) -> Session:
        """As `begin`, in the transaction of the caller."""
        device_id = wanted.device_id
        if device_id is None:
            device_id = DeviceID("".join(self._randomness.choice(_DEVICE_ID_LETTERS) for _ in range(10)))
        if not self._devices.add_in(txn, user_id, device_id, wanted.display_name):
            tokens.delete_of_device(txn, user_id, device_id)
            session_events.log_device_ended(txn, user_id, device_id)
        now_ms, lifetimes = self._clock.now_ms(), self._lifetimes
        if wanted.slides:
            idle_ms = self._sliding.idle_ms
            return self._issue(txn, user_id, device_id, wanted.scope, None, None, idle_ms)
        if not wanted.wants_refresh:
            access_token = self.new_token("hat")
            tokens.add_access(
                txn,
                access_token,
                user_id,
                device_id,
                created_ms=now_ms,
                expires_ms=_after(now_ms, lifetimes.nonrefreshable_access_token_lifetime_ms),
                scope=wanted.scope,
            )
            return Session(
                user_id,
                device_id,
                access_token,
                expires_in_ms=lifetimes.nonrefreshable_access_token_lifetime_ms,
            )
        return self._issue(
            txn, user_id, device_id, wanted.scope, _after(now_ms, lifetimes.session_lifetime_ms), None, None
        )

    async def refresh(self, refresh_token: str) -> Session:
        """Exchange a refresh token for a new pair; the old one works until the new pair is used.

        Raises:
            UnknownToken: there is no such token, it was used, or it has expired.
        """
        session: Session = await self._db.run(self.refresh_in, refresh_token)
        return session

    async def puppet(self, user_id: UserID, puppeteer: UserID, *, expires_ms: int | None) -> str:
        """An access token without a device, for an administrator who acts as the user."""
        token = self.new_token("hat")
        await self._db.run(self._add_puppet, token, user_id, puppeteer, expires_ms)
        return token

    async def end(self, who: Requester) -> None:
        """Log out: the device goes with its token."""
        await self._db.run(self._end, who)

    async def end_named(self, user_id: UserID, name: str) -> bool:
        """End the session of a device, or the one whose signed token bears this name; False if there is none."""
        return await self._db.run(self._end_named, user_id, name)

    async def end_all(self, user_id: UserID) -> None:
        """Log out everywhere."""
        await self._db.run(self.end_all_in, user_id, None)

    async def end_others(self, who: Requester) -> None:
        """Log out everywhere but here."""
        await self._db.run(self.end_all_in, who.user_id, who)

    def end_all_in(self, txn: Transaction, user_id: UserID, but: Requester | None) -> None:
        """End every session of the user, but for the one of a requester."""
        self._devices.delete_all_in(txn, user_id, None if but is None else but.device_id)
        tokens.delete_without_device(txn, user_id, except_id=None if but is None else but.token_id)
        if but is None:
            session_events.log_all_ended(txn, user_id)
        else:
            session_events.log_account_changed(txn, user_id)

    def revoke_superseded_in(self, txn: Transaction, token_id: int, superseded_id: int) -> None:
        """An access token that replaced another is used: revoke the refresh token it came from, and that
        one's.
        """
        tokens.clear_supersedes(txn, token_id)
        superseded = tokens.find_refresh_by_id(txn, superseded_id)
        if superseded is not None:
            self._revoke(txn, superseded)

    def _revoke(self, txn: Transaction, refresh: RefreshToken) -> None:
        tokens.delete_refresh(txn, refresh.token_id)
        tokens.delete_access(txn, refresh.access_id)
        session_events.log_account_changed(txn, refresh.user_id)

    def refresh_in(self, txn: Transaction, refresh_token: str) -> Session:
        """As `refresh`, in the transaction of the caller."""
        now_ms = self._clock.now_ms()
        old = tokens.find_refresh(txn, tokens.hash_token(refresh_token))
        if old is None:
            raise UnknownToken("unknown refresh token")
        for expires_ms in (old.expires_ms, old.session_expires_ms):
            if expires_ms is not None and expires_ms <= now_ms:
                raise UnknownToken("the refresh token has expired", soft_logout=True)
        if old.previous_id is not None:
            # The client has this token, so it needs the one before no longer.
            previous = tokens.find_refresh_by_id(txn, old.previous_id)
            if previous is not None:
                self._revoke(txn, previous)
        if old.next_id is not None:
            # The client never got the answer to its last attempt: forget what it was given then.
            lost = tokens.find_refresh_by_id(txn, old.next_id)
            if lost is not None:
                self._revoke(txn, lost)
        return self._issue(
            txn, old.user_id, old.device_id, old.scope, old.session_expires_ms, old, old.idle_ms
        )

    def _issue(
        self,
        txn: Transaction,
        user_id: UserID,
        device_id: DeviceID,
        scope: str | None,
        session_expires_ms: int | None,
        replaces: RefreshToken | None,
        idle_ms: int | None,
    ) -> Session:
        """A pair of tokens; the session's end caps both."""
        now_ms, lifetimes = self._clock.now_ms(), self._lifetimes
        access_token, refresh_token, jti = self.new_token("hat"), self.new_token("hrt"), None
        lifetime_ms, unused_ms = (
            lifetimes.refreshable_access_token_lifetime_ms,
            lifetimes.refresh_token_lifetime_ms,
        )
        if idle_ms is not None:
            lifetime_ms, unused_ms = self._sliding.access_ms, idle_ms
        expires_ms = _earliest(_after(now_ms, lifetime_ms), session_expires_ms)
        if idle_ms is not None and self._sliding.signer is not None:
            jti = self._randomness.token(16)
            access_token = self._sliding.signer.sign(user_id, device_id, jti, now_ms, expires_ms)
        replaced_id = None if replaces is None else replaces.token_id
        access_id = tokens.add_access(
            txn,
            access_token,
            user_id,
            device_id,
            created_ms=now_ms,
            expires_ms=expires_ms,
            supersedes=replaced_id,
            scope=scope,
            jti=jti,
        )
        refresh_id = tokens.add_refresh(
            txn,
            refresh_token,
            user_id,
            device_id,
            access_id=access_id,
            previous_id=replaced_id,
            expires_ms=_earliest(_after(now_ms, unused_ms), session_expires_ms),
            session_expires_ms=session_expires_ms,
            scope=scope,
            idle_ms=idle_ms,
        )
        if replaced_id is not None:
            tokens.set_next_refresh(txn, replaced_id, refresh_id)
        expires_in_ms = None if expires_ms is None else expires_ms - now_ms
        return Session(user_id, device_id, access_token, refresh_token, expires_in_ms)

    def _add_puppet(
        self, txn: Transaction, token: str, user_id: UserID, puppeteer: UserID, expires_ms: int | None
    ) -> None:
        tokens.add_access(
            txn,
            token,
            user_id,
            None,
            created_ms=self._clock.now_ms(),
            expires_ms=expires_ms,
            puppeteer=puppeteer,
        )

    def _end_named(self, txn: Transaction, user_id: UserID, name: str) -> bool:
        device_id = tokens.find_device_of_jti(txn, user_id, name) or DeviceID(name)
        if device_rows.find(txn, user_id, device_id) is None:
            return False
        self._devices.delete_in(txn, user_id, device_id)
        return True

    def _end(self, txn: Transaction, who: Requester) -> None:
        if who.device_id is not None:
            self._devices.delete_in(txn, who.user_id, who.device_id)
        if who.token_id is not None:
            tokens.delete_access(txn, who.token_id)
            session_events.log_account_changed(txn, who.user_id)


def _after(now_ms: int, lifetime_ms: int | None) -> int | None:
    return None if lifetime_ms is None else now_ms + lifetime_ms


def _earliest(*times_ms: int | None) -> int | None:
    return min((time_ms for time_ms in times_ms if time_ms is not None), default=None)
