"""Mail as services send it: a template and what stands in it.

Each template is a pair of files, `<name>.txt` and `<name>.html`, in `templates/` or in the operator's own directory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from pathlib import Path
from typing import Any, Protocol

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, select_autoescape

from config.email import EmailConfig
from homeserver.errors import Forbidden, InvalidParam
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness

_MAX_ADDRESS = 254
_is_address = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*").fullmatch

# Twisted's client ends the lines itself; some mail servers still take ASCII only.
_POLICY = SMTP.clone(linesep="\n", cte_type="7bit")

# Synapse's name of each subject, and what it is unless the configuration says otherwise.
_SUBJECTS = {
    "registration": ("email_validation", "[%(server_name)s] Confirm your e-mail address"),
    "add_threepid": ("email_validation", "[%(server_name)s] Confirm your e-mail address"),
    "password_reset": ("password_reset", "[%(server_name)s] Choose another password"),
    "code": ("email_code", "[%(server_name)s] Your code"),
}


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, to: str, template: str, variables: Mapping[str, Any]) -> None:
        """Send one mail. A template that has no subject of its own takes it from the variable `subject`.

        Raises:
            InvalidParam: `to` is no address.
            RemoteError: the mail server did not take it.
        """


class NoMailer:
    """A server that sends no mail."""

    async def send(self, to: str, template: str, variables: Mapping[str, Any]) -> None:
        """Refuse.

        Raises:
            Forbidden: always.
        """
        raise Forbidden("this server sends no mail")


class Transport(Protocol):
    """Takes a mail away."""

    async def deliver(self, sender: str, recipient: str, message: bytes) -> None: ...


def check_address(address: str) -> str:
    """An e-mail address that mail can be sent to.

    Raises:
        InvalidParam: it is none.
    """
    if len(address) > _MAX_ADDRESS or not _is_address(address):
        raise InvalidParam(f"{address[:_MAX_ADDRESS]!r} is not an e-mail address")
    return address


class TemplateMailer:
    """Writes mails from templates, and hands them to a transport."""

    def __init__(
        self,
        config: EmailConfig,
        transport: Transport,
        clock: Clock,
        randomness: Randomness,
        *,
        server_name: ServerName,
    ) -> None:
        self._config = config
        self._transport = transport
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._from = (config.notif_from or "") % {"app": config.app_name}
        own = config.custom_template_directory
        built_in = FileSystemLoader(Path(__file__).parent / "templates")
        self._templates = Environment(
            loader=built_in if own is None else ChoiceLoader([FileSystemLoader(own), built_in]),
            autoescape=select_autoescape(["html"]),
        )

    async def send(self, to: str, template: str, variables: Mapping[str, Any]) -> None:
        """See `Mailer`."""
        recipient = check_address(to)
        told = {"app_name": self._config.app_name, "server_name": self._server_name, **variables}
        message = EmailMessage(policy=_POLICY)
        message["From"] = self._from
        message["To"] = recipient
        message["Subject"] = " ".join(self._subject(template, told).split())
        message["Date"] = formatdate(self._clock.now_ms() / 1000)
        message["Message-ID"] = f"<{self._randomness.token(18)}@{self._server_name}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self._templates.get_template(f"{template}.txt").render(told))
        message.add_alternative(self._templates.get_template(f"{template}.html").render(told), subtype="html")
        await self._transport.deliver(parseaddr(self._from)[1], recipient, message.as_bytes())

    def _subject(self, template: str, told: Mapping[str, Any]) -> str:
        if template not in _SUBJECTS:
            return str(told.get("subject", ""))
        name, default = _SUBJECTS[template]
        names = {"server_name": self._server_name, "app": self._config.app_name}
        return self._config.subjects.get(name, default) % names
