"""The server's certificate, which can be renewed without a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

_log = structlog.get_logger(__name__)

_PROTOCOL = b"http/1.1"
_OP_NO_RENEGOTIATION = 1 << 30
# OpenSSL has it since 1.1.0h, the types of its wrapper do not.
_TLS_1_2_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"


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
        except SSL.Error as error:
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
            SSL.Error: they cannot be read, or hold no chain and key that belong together.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(_TLS_1_2_CIPHERS)
        context.set_options(SSL.OP_NO_COMPRESSION | _OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
        # A connection that waits gives its 32 KiB of buffers back.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_alpn_select_callback(_choose_protocol)
        context.use_certificate_chain_file(str(self._chain))
        context.use_privatekey_file(str(self._key))
        context.check_privatekey()
        return context


def _choose_protocol(_: SSL.Connection, offered: list[bytes]) -> Any:
    return _PROTOCOL if _PROTOCOL in offered else SSL.NO_OVERLAPPING_PROTOCOLS
