"""Making an account on a page of this server, by the same stages as clients that speak `/register` pass.

Spec: https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api, `prompt=create`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeserver.errors import Forbidden
from homeserver.ids import UserID
from homeserver.users.interactive_auth import AuthenticationRequired
from homeserver.users.open_registration import OpenRegistration, Wish
from homeserver.users.registration_policy import RegistrationPolicy
from homeserver.users.stages import DUMMY, REGISTRATION_TOKEN, TERMS

Document = tuple[str, str]
"""The name and the URL of something to accept."""


class SignUp:
    """Registers people who fill in one form. `documents` are those that the terms consist of."""

    def __init__(
        self, registration: OpenRegistration, policy: RegistrationPolicy, documents: Sequence[Document]
    ) -> None:
        self._registration = registration
        self._stages = _passable(policy)
        self.documents = tuple(documents) if TERMS in (self._stages or ()) else ()

    @property
    def is_open(self) -> bool:
        """Whether one form is enough: a captcha or an address to prove are asked for by clients only."""
        return self._stages is not None

    @property
    def needs_token(self) -> bool:
        return REGISTRATION_TOKEN in (self._stages or ())

    async def register(self, username: str, password: str, *, token: str, accepts_terms: bool) -> UserID:
        """Make the account.

        Raises:
            Forbidden: registration is closed, or the terms are not accepted.
            MatrixError: the name is not to be had, the password is too weak, the token is not good.
        """
        if self._stages is None:
            raise Forbidden("accounts are not made on this page")
        if self.documents and not accepts_terms:
            raise Forbidden("the documents must be accepted")
        wish = Wish(username, password, None)
        answers: Mapping[str, Mapping[str, str]] = {REGISTRATION_TOKEN: {"token": token}}
        try:
            user_id, _ = await self._registration.register(wish, None)
        except AuthenticationRequired as challenge:
            required = challenge
        else:
            return user_id
        for stage in self._stages:
            auth = {"type": stage, "session": required.extra["session"], **answers.get(stage, {})}
            try:
                user_id, _ = await self._registration.register(wish, auth)
            except AuthenticationRequired as challenge:
                if stage not in challenge.extra.get("completed", ()):
                    raise
            else:
                return user_id
        raise Forbidden("accounts are not made on this page")


def _passable(policy: RegistrationPolicy) -> list[str] | None:
    """The stages of a flow that a form can pass; None if there is none."""
    if not policy.enabled:
        return None
    known = {DUMMY, REGISTRATION_TOKEN, TERMS}
    return next((flow for flow in policy.flows() if known.issuperset(flow)), None)
