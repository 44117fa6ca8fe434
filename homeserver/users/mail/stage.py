"""`m.login.email.identity` and `m.login.msisdn`: an address that was confirmed stands for its owner.

Spec: https://spec.matrix.org/v1.19/client-server-api/#email-based-identity--homeserver
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.errors import BadJson, Forbidden, MissingParam
from homeserver.users.interactive_auth import StageRefused
from homeserver.users.mail.validation import AddressValidation, Purpose
from homeserver.users.stages import BaseStage
from storage.uia import AuthSession

_PURPOSES = {
    "POST /register": Purpose.REGISTRATION,
    "POST /account/password": Purpose.PASSWORD_RESET,
}


class AddressStage(BaseStage):
    """Passed with a session of `AddressValidation` that was begun for the same request."""

    def __init__(self, type: str, sessions: AddressValidation) -> None:
        self.type = type
        self._sessions = sessions

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """The address must have been confirmed; the result is which it is, and since when.

        Raises:
            StageRefused: it has not.
        """
        # COMPAT(clients before r0.5): the name in camel case.
        given = auth.get("threepid_creds", auth.get("threepidCreds"))
        if given is None:
            raise MissingParam("auth.threepid_creds is missing")
        sid, secret = (
            (given.get("sid"), given.get("client_secret")) if isinstance(given, dict) else (None, None)
        )
        if not isinstance(sid, str) or not isinstance(secret, str):
            raise BadJson("auth.threepid_creds must have sid and client_secret")
        purpose = _PURPOSES.get(session.operation)
        if purpose is None:
            raise StageRefused("an address does not do for this request")
        try:
            proved = await self._sessions.redeem(purpose, sid, secret)
        except Forbidden as error:
            raise StageRefused(error.error, errcode="M_UNAUTHORIZED") from None
        return {"medium": proved.medium, "address": proved.address, "validated_at": proved.validated_ms}
