"""A certificate authority of the tests' own, and machines in memory that speak TLS with its certificates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from tests.fixtures.reactor import VirtualReactor

NOT_BEFORE, NOT_AFTER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, name: str = "Test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def write(self, path: Path) -> Path:
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def context(self, *names: str) -> SSL.Context:
        """A server's TLS with a certificate for these names."""
        certificate, key = self._issue(names)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(cast(Any, certificate))
        context.use_privatekey(cast(Any, key))
        return context

    def write_certificate(self, path: Path, key_path: Path, *names: str) -> None:
        """A certificate for these names and its key, as files."""
        certificate, key = self._issue(names)
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        unlocked = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, unlocked))

    def _issue(self, names: Iterable[str]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate, key

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOT_BEFORE)
            .not_valid_after(NOT_AFTER)
        )


@implementer(IOpenSSLServerConnectionCreator)
class Creator:
    """Makes the server's end of TLS connections; `sni` is told which name each of them asks for."""

    def __init__(self, context: SSL.Context, sni: list[str | None]) -> None:
        self._context = context
        context.set_tlsext_servername_callback(
            lambda c: sni.append((c.get_servername() or b"").decode() or None)
        )

    def serverConnectionForTLS(self, _protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def over_tls(reactor: VirtualReactor, context: SSL.Context, inner: Any, sni: list[str | None]) -> Any:
    """The factory of a machine that speaks TLS around what `inner` speaks."""
    creator: Any = Creator(context, sni)
    clock: Any = reactor
    return TLSMemoryBIOFactory(creator, False, inner, clock)
