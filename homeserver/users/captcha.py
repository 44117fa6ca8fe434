"""`m.login.recaptcha`: somebody proves to be no program.

Spec: https://spec.matrix.org/v1.19/client-server-api/#google-recaptcha
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from homeserver.errors import MissingParam, RemoteError
from homeserver.http.client import json_of
from homeserver.http.gate.reading import Answer
from homeserver.users.fallback import Form
from homeserver.users.interactive_auth import StageRefused
from homeserver.users.registration_policy import CAPTCHA
from homeserver.users.stages import BaseStage
from storage.uia import AuthSession

SCRIPT = "https://www.recaptcha.net/recaptcha/api.js"


class CaptchaWeb(Protocol):
    """The way to who checks answers."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer: ...


class CaptchaStage(BaseStage):
    """Passed with an answer that the captcha's maker finds good."""

    type = CAPTCHA

    def __init__(self, web: CaptchaWeb | None, *, public_key: str, private_key: str, url: str) -> None:
        self._web = web
        self._public_key = public_key
        self._private_key = private_key
        self._url = url

    async def params(self, session: AuthSession) -> Mapping[str, Any]:
        """The key with which the client shows the captcha."""
        return {"public_key": self._public_key}

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """Ask whether the answer is good.

        Raises:
            StageRefused: it is not.
            RemoteError: nobody could say.
        """
        # The page's own field has another name.
        answer = auth.get("response", auth.get("g-recaptcha-response"))
        if not isinstance(answer, str) or not answer:
            raise MissingParam("auth.response is missing")
        if self._web is None:
            raise RemoteError("captchas cannot be checked from here")
        form = urlencode({"secret": self._private_key, "response": answer}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        told = json_of(await self._web.request("POST", self._url, headers=headers, body=form), self._url)
        if not isinstance(told, dict) or told.get("success") is not True:
            raise StageRefused("the captcha was not solved", errcode="M_UNAUTHORIZED")
        return True

    async def fallback_form(self, session: AuthSession) -> Form:
        """The captcha."""
        return Form(
            "Show that you are no program.",
            "Continue",
            script_url=SCRIPT,
            widget_class="g-recaptcha",
            widget_key=self._public_key,
        )
