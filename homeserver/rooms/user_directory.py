"""Finding users: those who share a room with whoever searches, and those in rooms that are open to all.

Spec: https://spec.matrix.org/v1.19/client-server-api/#user-directory
"""

from __future__ import annotations

from config.directory import UserDirectoryConfig
from homeserver.errors import Forbidden
from homeserver.ids import UserID, localpart_of
from homeserver.rooms.words import fold
from storage import user_directory as rows
from storage.database import Database
from storage.user_directory import DirectoryUser

MAX_RESULTS = 50
CONSIDERED = 500
"""Users who match, of whom the best are shown."""


class UserDirectory:
    """Searches for users."""

    def __init__(self, db: Database, section: UserDirectoryConfig) -> None:
        self._db = db
        self._section = section

    async def search(self, user_id: UserID, term: str, limit: int) -> tuple[list[DirectoryUser], bool]:
        """The users who match best, and whether there are more.

        Raises:
            Forbidden: this server does not offer it.
        """
        section = self._section
        if not section.enabled:
            raise Forbidden("the directory of users is switched off")
        folded = fold(term).strip()
        wanted = min(max(limit, 0), MAX_RESULTS)
        if not folded:
            return [], False
        found = await self._db.read(
            rows.search,
            user_id,
            folded,
            CONSIDERED,
            everybody=section.search_all_users,
            with_remote=not section.exclude_remote_users,
            with_locked=section.show_locked_users,
        )
        found.sort(key=lambda user: self._order(user, folded))
        return found[:wanted], len(found) > wanted

    def _order(self, user: DirectoryUser, term: str) -> tuple[bool, bool, bool, bool, str]:
        """Those who are called just so come first, then those whose name begins so, then those with a picture."""
        names = [fold(localpart_of(user.user_id)), fold(user.user_id), fold(user.display_name or "")]
        return (
            self._section.prefer_local_users and not user.is_local,
            term not in names,
            not any(name.startswith(term.lstrip("@")) for name in names),
            user.display_name is None and user.avatar_url is None,
            user.user_id,
        )
