"""A mail server in memory: Twisted's own, with accounts, and everything that it was handed."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.mail.imap4 import LOGINCredentials, PLAINCredentials
from twisted.mail.smtp import ESMTP, IMessage, IMessageDelivery
from zope.interface import implementer


@implementer(IMessage)
class _Incoming:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self._lines.append(line)

    def eomReceived(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        message = message_from_bytes(b"\r\n".join(self._lines), policy=policy.default)
        assert isinstance(message, EmailMessage)
        self._mailbox.messages.append(message)
        return succeed(None)

    def connectionLost(self) -> None:
        """Half a message is none."""


@implementer(IMessageDelivery)
class _Delivery:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:  # noqa: N802  # Twisted's name
        return b"Received: by the test"

    def validateFrom(self, helo: Any, origin: Any) -> Any:  # noqa: N802  # Twisted's name
        self._mailbox.senders.append(str(origin))
        return origin

    def validateTo(self, user: Any) -> Any:  # noqa: N802  # Twisted's name
        return lambda: _Incoming(self._mailbox)


@implementer(IRealm)
class _Realm:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def requestAvatar(self, avatar: Any, mind: Any, *interfaces: Any) -> Any:  # noqa: N802  # Twisted's name
        self._mailbox.logins.append(avatar)
        return IMessageDelivery, _Delivery(self._mailbox), lambda: None


class Mailbox:
    """The mail server; give it to `Outside.servers`. With accounts it takes no mail of strangers."""

    def __init__(self, **accounts: str) -> None:
        self.messages: list[EmailMessage] = []
        self.senders: list[str] = []
        self.logins: list[Any] = []
        checker: Any = InMemoryUsernamePasswordDatabaseDontUse()
        for name, password in accounts.items():
            checker.addUser(name.encode(), password.encode())
        realm: Any = _Realm(self)
        self._portal = Portal(realm, [checker])
        self._takes_strangers = not accounts

    def buildProtocol(self, address: Any) -> Any:
        protocol: Any = ESMTP({b"PLAIN": PLAINCredentials, b"LOGIN": LOGINCredentials})
        protocol.host = b"mail.test"
        protocol.portal = self._portal
        # Its own clock is the process's, which tests do not have.
        protocol.timeout = None
        if self._takes_strangers:
            protocol.delivery = _Delivery(self)
        return protocol

    @property
    def link(self) -> str:
        """The link in the latest mail."""
        found = re.search(r"https?://\S+", self.text)
        assert found is not None, self.text
        return found[0]

    @property
    def text(self) -> str:
        return self.part("plain")

    def part(self, subtype: str) -> str:
        body = self.messages[-1].get_body((subtype,))
        assert body is not None
        return str(body.get_content())
