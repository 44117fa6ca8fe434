"""TLS to other machines: whose certificates are trusted, and for which name they must be made out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import idna
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer


class Trust:
    """The certificate authorities that vouch for others: those of the platform, and the operator's own.

    One OpenSSL context serves every name: making one reads every authority of the platform.
    """

    def __init__(
        self, authorities: Iterable[Path] = (), *, platform: bool = True, oldest: str = "1.2"
    ) -> None:
        self._verifying = _context(oldest)
        if platform:
            self._verifying.set_default_verify_paths()
        store = self._verifying.get_cert_store()
        if store is not None:
            for path in authorities:
                for certificate in _certificates(path.read_bytes()):
                    store.add_cert(certificate)
        self._blind = _context(oldest)

    def creator(self, name: str, *, verify: bool = True) -> TlsCreator:
        """What makes TLS connections to the machine of this name, a host name or an IP address."""
        return TlsCreator(self._verifying if verify else self._blind, name, verify=verify)


@implementer(IOpenSSLClientConnectionCreator)
class TlsCreator:
    """Makes connections that fail unless the certificate is made out for the name."""

    def __init__(self, context: SSL.Context, name: str, *, verify: bool) -> None:
        self._context = context
        self._verify = verify
        self._identity: ServiceID
        if isIPAddress(name) or isIPv6Address(name):
            # SNI is for host names only.
            self._sni: bytes | None = None
            self._identity = IPAddress_ID(name)
        else:
            ascii_name = _ascii(name)
            self._sni = ascii_name
            self._identity = DNS_ID(ascii_name.decode("ascii"))

    def clientConnectionForTLS(self, _protocol: Any) -> SSL.Connection:
        """A connection in client mode, before its handshake."""
        connection = SSL.Connection(self._context, None)
        if self._sni is not None:
            connection.set_tlsext_host_name(self._sni)
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._check)
        return connection

    def _check(
        self, _connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, ok: int
    ) -> bool:
        if depth != 0 or not ok:
            return bool(ok)
        # An exception that leaves this callback is lost, and the handshake goes on.
        try:
            verify_service_identity(extract_patterns(certificate), [self._identity], [])
        except VerificationError:
            return False
        except Exception:  # noqa: BLE001  # a certificate that cannot even be read names nobody
            return False
        return True


def _context(oldest: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION if oldest == "1.3" else SSL.TLS1_2_VERSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def _certificates(pem: bytes) -> list[crypto.X509]:
    marker = b"-----BEGIN CERTIFICATE-----"
    found = [crypto.load_certificate(crypto.FILETYPE_PEM, marker + part) for part in pem.split(marker)[1:]]
    if not found:
        raise ValueError("the file holds no certificate in PEM form")
    return found


def _ascii(name: str) -> bytes:
    try:
        return idna.encode(name)
    except idna.IDNAError:
        # Names that IDNA 2008 does not have, such as those with underscores, are used as they are.
        return name.encode("ascii", "replace")
