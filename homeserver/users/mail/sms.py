"""Text messages: the link of a mail, in a sentence, handed to the operator's gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.sms import SmsConfig
from homeserver.errors import RemoteError
from homeserver.http.client import OutboundHttp
from homeserver.http.wire import encode_json

_SENTENCES = {
    "registration": "Confirm your number for {server}: {link}",
    "add_threepid": "Confirm your number for {server}: {link}",
    "password_reset": "Choose another password at {server}: {link}",
}


class SmsMailer:
    """Sends text messages; see `Mailer`."""

    def __init__(self, config: SmsConfig, http: OutboundHttp, *, server_name: str) -> None:
        self._config = config
        self._http = http
        self._server_name = server_name

    async def send(self, to: str, template: str, variables: Mapping[str, Any]) -> None:
        """Hand a message to the gateway.

        Raises:
            RemoteError: it did not take it.
        """
        text = _SENTENCES[template].format(server=self._server_name, **variables)
        headers = {"Content-Type": "application/json"}
        if self._config.gateway_token is not None:
            headers["Authorization"] = f"Bearer {self._config.gateway_token}"
        body = encode_json({"to": f"+{to}", "text": text})
        answer = await self._http.request("POST", self._config.gateway_url or "", headers=headers, body=body)
        if not 200 <= answer.status < 300:
            raise RemoteError("the message could not be sent", status=answer.status)
