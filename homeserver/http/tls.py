"""The server's certificate, which can be renewed without a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

_log = structlog.get_logger(__name__)


@implementer(IOpenSSLServerConnectionCreator)
class ReloadingCertificate:
    """A certificate chain and its key, in PEM files.

    Connections that exist keep the certificate they began with; new ones get what was loaded last. Files that
    cannot be used when they are loaded again leave the old certificate in place: an operator's slip should
    not end the service.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._context = self._load()

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """The TLS side of a new connection. Twisted calls this."""
        return SSL.Connection(self._context, None)

    def reload(self) -> bool:
        """Read the files again, as on SIGHUP; False, and a line in the log, if they are no good."""
        try:
            self._context = self._load()
        except (OSError, ValueError, SSL.Error, crypto.Error) as error:
            _log.error(
                "the new certificate cannot be used, the old one stays",
                path=str(self._chain),
                reason=repr(error),
            )
            return False
        _log.info("the certificate has been read again", path=str(self._chain))
        return True

    def _load(self) -> SSL.Context:
        """The context for the files as they are now.

        Raises:
            OSError: a file cannot be read.
            ValueError: there is no certificate in it.
            SSL.Error: chain and key do not belong together.
        """
        chain = _certificates(self._chain.read_bytes())
        options = ssl.CertificateOptions(
            privateKey=crypto.load_privatekey(crypto.FILETYPE_PEM, self._key.read_bytes()),
            certificate=chain[0],
            extraCertChain=chain[1:],
            raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
            acceptableProtocols=[b"http/1.1"],
        )
        context = options.getContext()
        context.check_privatekey()
        return context


def _certificates(pem: bytes) -> list[crypto.X509]:
    end = b"-----END CERTIFICATE-----"
    found = [
        crypto.load_certificate(crypto.FILETYPE_PEM, part + end)
        for part in pem.split(end)[:-1]
        if b"-----BEGIN CERTIFICATE-----" in part
    ]
    if not found:
        raise ValueError("there is no certificate in the file")
    return found
