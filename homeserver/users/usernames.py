"""Which user IDs a new account may have."""

from __future__ import annotations

from homeserver.errors import MatrixError
from homeserver.ids import MAX_ID_BYTES, ServerName, UserID, is_localpart
from homeserver.runtime.random import Randomness
from homeserver.users.appservice_identity import AppserviceDirectory
from storage import users
from storage.database import Database

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class InvalidUsername(MatrixError):
    errcode = "M_INVALID_USERNAME"


class UserInUse(MatrixError):
    errcode = "M_USER_IN_USE"


class Exclusive(MatrixError):
    """The name belongs to an application service."""

    errcode = "M_EXCLUSIVE"


class Usernames:
    """Checks names that people wish for, and makes them up for those who wish for none.

    With `hide_taken` nobody learns before the end of a registration whether a name is taken.
    """

    def __init__(
        self,
        db: Database,
        randomness: Randomness,
        appservices: AppserviceDirectory,
        server_name: ServerName,
        *,
        hide_taken: bool = False,
    ) -> None:
        self._db = db
        self._randomness = randomness
        self._appservices = appservices
        self._server_name = server_name
        self._hide_taken = hide_taken

    def parse(self, username: str, *, appservice_id: str | None = None) -> UserID:
        """The user ID for a wished-for name, in lower case, if a new user may have it.

        Raises:
            InvalidUsername: it is not in the grammar, or too long.
            Exclusive: it belongs to an application service other than `appservice_id`.
        """
        localpart = username.lower()
        if not is_localpart(localpart):
            raise InvalidUsername("a username is made of a-z, 0-9 and ._=-/+")
        user_id = UserID(f"@{localpart}:{self._server_name}")
        if len(user_id) > MAX_ID_BYTES:
            raise InvalidUsername(f"a user ID has at most {MAX_ID_BYTES} bytes")
        owner = self._appservices.exclusive_owner(user_id)
        if owner is not None and owner != appservice_id:
            raise Exclusive(f"{user_id} is reserved for an application service")
        return user_id

    async def check_free(self, user_id: UserID, *, even_if_hidden: bool = False) -> None:
        """Refuse a name that is taken.

        Raises:
            UserInUse: it is, or was once.
        """
        if (even_if_hidden or not self._hide_taken) and await self._db.read(users.exists, user_id):
            raise UserInUse(f"{user_id} is taken")

    def generate(self, prefix: str = "") -> UserID:
        """A user ID that nobody has, as near as makes no difference."""
        localpart = prefix + "".join(self._randomness.choice(_ALPHABET) for _ in range(16))
        return UserID(f"@{localpart}:{self._server_name}")
