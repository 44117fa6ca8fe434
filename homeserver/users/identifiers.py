"""From the ways in which a client may name a user to the user.

Spec: https://spec.matrix.org/v1.19/client-server-api/#identifier-types
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.errors import BadJson, InvalidParam
from homeserver.ids import ServerName, UserID, domain_of
from homeserver.users.phone_numbers import canonical_number
from storage import threepids, users
from storage.database import Database
from storage.transaction import Transaction
from storage.users import Account


def canonical_email(address: str) -> str:
    """An email address in the form in which it is stored."""
    return address.strip().casefold()


def canonical_address(medium: str, address: str) -> str:
    """A third-party identifier in the form in which it is stored."""
    if medium == "msisdn":
        return canonical_number("+" + address.lstrip("+")) or address
    return canonical_email(address)


def qualified(user: str, server_name: ServerName) -> UserID:
    """The user ID for what people type as their name: a whole ID or its localpart."""
    return UserID(user if user.startswith("@") else f"@{user}:{server_name}")


class Identifiers:
    """Finds accounts by what their users call themselves."""

    def __init__(self, db: Database, server_name: ServerName) -> None:
        self._db = db
        self._server_name = server_name

    async def find(self, identifier: Mapping[str, Any]) -> Account | None:
        """The local account that an identifier object names, if there is one.

        Raises:
            BadJson: a field is missing or of the wrong type.
            InvalidParam: the type of the identifier is unknown.
        """
        kind = identifier.get("type")
        if kind is None and "medium" in identifier:
            kind = "m.id.thirdparty"
        if kind == "m.id.user":
            return await self._db.read(self._find_user, _text(identifier, "user"))
        if kind == "m.id.thirdparty":
            medium, address = _text(identifier, "medium"), _text(identifier, "address")
            return await self._db.read(_find_by_threepid, medium, canonical_address(medium, address))
        if kind == "m.id.phone":
            # COMPAT(clients): older ones call the field "number".
            number = _text(identifier, "phone" if "phone" in identifier else "number")
            return await self._db.read(
                _find_by_threepid, "msisdn", canonical_number(number, _text(identifier, "country"))
            )
        raise InvalidParam(f"unknown type of identifier {kind!r}")

    def _find_user(self, txn: Transaction, name: str) -> Account | None:
        user_id = qualified(name, self._server_name)
        if domain_of(user_id) != self._server_name:
            return None
        # New localparts are in lower case; phones like to begin a name with a capital.
        return users.find(txn, user_id) or users.find(txn, user_id.lower())


def _text(identifier: Mapping[str, Any], field: str) -> str:
    value = identifier.get(field)
    if not isinstance(value, str):
        raise BadJson(f"identifier.{field} must be a string")
    return value


def _find_by_threepid(txn: Transaction, medium: str, address: str | None) -> Account | None:
    user_id = None if address is None else threepids.find_owner(txn, medium, address)
    return None if user_id is None else users.find(txn, user_id)
