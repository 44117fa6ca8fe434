"""Handing mail to the operator's mail server, by Twisted's SMTP client."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.mail.smtp import ESMTPSender, ESMTPSenderFactory
from twisted.python.failure import Failure

from config.email import EmailConfig
from homeserver.errors import RemoteError
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.dialing import Dialer
from homeserver.http.gate.tls import Trust
from homeserver.runtime.clock import Clock

TIMEOUT_S = 30.0


class _Sender(ESMTPSender):
    """Tells of a connection that ends too early, as endpoints do not."""

    def connectionLost(self, reason: Any = None) -> None:
        ESMTPSender.connectionLost(self, reason)
        self.factory.lost(reason)


class _SenderFactory(ESMTPSenderFactory):
    protocol = _Sender
    lost: Callable[[Failure], object]


class SmtpTransport:
    """One conversation with the mail server for each mail."""

    def __init__(self, network: Any, clock: Clock, config: EmailConfig) -> None:
        self._clock = clock
        self._config = config
        tls_name = config.tlsname or config.smtp_host
        self._tls = Trust().creator(tls_name)
        # The operator names the server: it may be anywhere, and mostly is on this machine.
        dialer = Dialer(network, AddressPolicy(()))
        self._endpoint = dialer.endpoint(
            config.smtp_host, config.port, self._tls if config.force_tls else None
        )

    async def deliver(self, sender: str, recipient: str, message: bytes) -> None:
        """Hand over one mail.

        Raises:
            RemoteError: the mail server did not take it.
        """
        config = self._config
        sent: Deferred[Any] = Deferred()
        user = None if config.smtp_user is None else config.smtp_user.encode()
        # Twisted's constructor has no types.
        make: Any = _SenderFactory
        factory = make(
            user,
            None if config.smtp_pass is None else config.smtp_pass.encode(),
            sender,
            recipient,
            BytesIO(message),
            sent,
            retries=0,
            contextFactory=self._tls if config.enable_tls and not config.force_tls else None,
            heloFallback=user is None,
            requireAuthentication=user is not None,
            requireTransportSecurity=config.require_transport_security and not config.force_tls,
        )

        def refused(failure: Failure) -> None:
            if not sent.called:
                sent.errback(failure)

        factory.lost = refused
        connecting = self._endpoint.connect(factory).addErrback(refused)

        def give_up() -> None:
            refused(Failure(TimeoutError()))
            connecting.cancel()
            if factory.currentProtocol is not None:
                factory.currentProtocol.transport.abortConnection()

        timer = self._clock.call_later(TIMEOUT_S, give_up)
        try:
            await sent
        except Exception as error:
            # What the other side said may quote the mail; its kind is enough.
            raise RemoteError(f"the mail server did not take a mail ({type(error).__name__})") from error
        finally:
            if timer.active():
                timer.cancel()
