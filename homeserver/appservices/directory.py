"""The application services that are registered here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from homeserver.appservices.registration import Appservice, Registration
from homeserver.errors import MatrixError, NotFound
from homeserver.ids import RoomAlias, UserID
from storage import users
from storage.database import Database
from storage.transaction import Transaction
from storage.users import Account


class Exclusive(MatrixError):
    """The ID lies in a namespace that an application service has for itself."""

    errcode = "M_EXCLUSIVE"


class Appservices:
    """Finds services by token, by ID and by what they claim."""

    def __init__(self, registrations: Iterable[Registration] = ()) -> None:
        self.all = tuple(Appservice(registration) for registration in registrations)
        # By digest, so that the time of a look-up tells nothing about a token.
        self._by_token = {_digest(each.registration.as_token): each for each in self.all}
        self._by_id = {each.id: each for each in self.all}

    def find_by_token(self, token: str) -> Appservice | None:
        return self._by_token.get(_digest(token)) if self._by_token else None

    def load(self, appservice_id: str) -> Appservice:
        """
        Raises:
            NotFound: there is none.
        """
        found = self._by_id.get(appservice_id)
        if found is None:
            raise NotFound(f"no application service {appservice_id}")
        return found

    def exclusive_owner(self, user_id: UserID) -> str | None:
        """The ID of the service that has claimed the user ID for itself."""
        return next((each.id for each in self.all if each.owns_exclusively(user_id)), None)

    def owners(self, user_id: UserID) -> list[Appservice]:
        return [each for each in self.all if each.owns(user_id)]

    def check_alias(self, alias: RoomAlias, creator: UserID) -> None:
        """
        Raises:
            Exclusive: the alias is one that only users of an application service may make.
        """
        for service in self.all:
            if service.owns_alias_exclusively(alias) and not service.owns(creator):
                raise Exclusive(f"{alias} is reserved for an application service")

    async def register_senders(self, db: Database, now_ms: int) -> None:
        """Make the accounts of the users that services act as, unless they exist."""
        if self.all:
            await db.run(_register, [(each.sender, each.id) for each in self.all], now_ms)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _register(txn: Transaction, senders: list[tuple[UserID, str]], now_ms: int) -> None:
    for user_id, appservice_id in senders:
        users.create(txn, Account(user_id, now_ms, appservice_id=appservice_id))
