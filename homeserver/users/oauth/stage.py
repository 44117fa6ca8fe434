"""`m.oauth`: the user confirms a request on the server's own pages.

Spec: https://spec.matrix.org/v1.19/client-server-api/#oauth-authentication
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from homeserver.errors import Forbidden, NotFound
from homeserver.ids import UserID
from homeserver.users.interactive_auth import StageRefused
from homeserver.users.stages import BaseStage
from storage import uia
from storage.database import Database
from storage.transaction import Transaction
from storage.uia import AuthSession

OAUTH = "m.oauth"
UNSTABLE_OAUTH = "org.matrix.cross_signing_reset"
"""COMPAT(clients before v1.17): what MSC4312 called it."""

RESET = "org.matrix.cross_signing_reset"
"""The account page's action."""


class OAuthStage(BaseStage):
    """Passed on the account page; the client only comes back with its session."""

    def __init__(self, base_url: str, type: str = OAUTH) -> None:
        self.type = type
        self._base_url = base_url

    async def params(self, session: AuthSession) -> Mapping[str, Any]:
        """Where to send the user."""
        return {
            "url": f"{self._base_url}/oauth2/account?action={RESET}&session={quote(session.session_id, safe='')}"
        }

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """Nothing that the client says passes this stage.

        Raises:
            StageRefused: always.
        """
        raise StageRefused("confirm this in your browser first", errcode="M_UNAUTHORIZED")


class Confirmations:
    """What users confirm on the account page."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def describe(self, session_id: str, user_id: UserID) -> str:
        """What a request is about that waits for its user.

        Raises:
            NotFound: there is no such request.
            Forbidden: it is another user's.
        """
        session = await self._db.read(uia.find, session_id)
        return _check(session, user_id).description

    async def confirm(self, session_id: str, user_id: UserID) -> None:
        """Let the request through.

        Raises:
            NotFound: there is no such request.
            Forbidden: it is another user's.
        """
        await self._db.run(_confirm, session_id, user_id)


def _confirm(txn: Transaction, session_id: str, user_id: UserID) -> None:
    _check(uia.find(txn, session_id), user_id)
    uia.complete_stage(txn, session_id, OAUTH, user_id)


def _check(session: AuthSession | None, user_id: UserID) -> AuthSession:
    if session is None:
        raise NotFound("this request has expired; begin again in your app")
    if session.user_id != user_id:
        raise Forbidden("this request was made by another account; log in to that one")
    return session
