"""The device authorisation grant: a device without a browser shows a code, and its user decides elsewhere.

Spec: https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-grant
"""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.errors import NotFound
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.oauth.clients import Clients
from homeserver.users.oauth.errors import OAuthError
from homeserver.users.oauth.metadata import DEVICE_CODE, ClientMetadata
from homeserver.users.oauth.scopes import Scope, parse_scope
from storage import oauth
from storage.database import Database
from storage.oauth import GRANTED, REFUSED, UNDECIDED, DeviceCode
from storage.transaction import Transaction

LIFETIME_MS = 20 * 60_000
INTERVAL_MS = 5_000

# No vowels, so that no words come out, and nothing that looks like something else (RFC 8628 §6.1).
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Issued:
    """The two codes: the device keeps one and shows the other."""

    device_code: str
    user_code: str


@dataclass(frozen=True, slots=True)
class Asking:
    """A device that waits for its user's decision."""

    user_code: str
    client: ClientMetadata
    scope: Scope


class DeviceGrants:
    """Issues codes, and notes what users decide."""

    def __init__(self, db: Database, clock: Clock, randomness: Randomness, clients: Clients) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._clients = clients

    async def begin(self, client_id: str, scope: str) -> Issued:
        """Codes for a device.

        Raises:
            OAuthError: there is no such client, or it may not ask for this.
        """
        client = await self._clients.load(client_id)
        if DEVICE_CODE not in client.grant_types:
            raise OAuthError("unauthorized_client", "the client has not registered this grant")
        parsed = parse_scope(scope)
        while True:
            letters = "".join(self._randomness.choice(_LETTERS) for _ in range(_LENGTH))
            issued = Issued(f"hdc_{self._randomness.token(32)}", f"{letters[:4]}-{letters[4:]}")
            if await self._db.run(self._add, issued, client_id, parsed.text):
                return issued

    async def find(self, user_code: str) -> Asking:
        """The device that shows a code.

        Raises:
            NotFound: none does.
        """
        found = await self._db.read(oauth.find_by_user_code, canonical(user_code))
        if found is None or found.decision != UNDECIDED or found.expires_ms <= self._clock.now_ms():
            raise NotFound("this code is wrong, or has expired")
        return Asking(found.user_code, await self._clients.load(found.client_id), parse_scope(found.scope))

    async def decide(self, asking: Asking, user_id: UserID, *, granted: bool) -> None:
        """Note what the user has decided.

        Raises:
            NotFound: it was decided before.
        """
        decision = GRANTED if granted else REFUSED
        if not await self._db.run(oauth.decide, asking.user_code, user_id, decision):
            raise NotFound("this code has been used")

    def _add(self, txn: Transaction, issued: Issued, client_id: str, scope: str) -> bool:
        now_ms = self._clock.now_ms()
        oauth.delete_expired(txn, now_ms)
        what = DeviceCode(issued.user_code, client_id, scope, now_ms + LIFETIME_MS)
        return oauth.add_device_code(txn, issued.device_code, what)


def canonical(user_code: str) -> str:
    """A user code however people type it."""
    letters = [letter for letter in user_code.upper() if letter in _LETTERS][: _LENGTH + 1]
    return "".join(letters[:4]) + "-" + "".join(letters[4:])
