"""A certificate for the embedded API server.

kubectl and client-go send a token over an encrypted connection only, whatever the address. So the
server can speak TLS with a certificate of its own, which the kubeconfig carries along; it is good
for the loopback interface and nothing else.
"""

import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["ServerIdentity", "load_or_create_identity"]

_FILE: Final = "apiserver.pem"
_VALID_DAYS: Final = 3650
_NAME: Final = "gpu-spawner embedded cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """A private key and its certificate, both in PEM.

    Attributes:
        certificate: what clients trust; it is its own authority.
    """

    key: bytes
    certificate: bytes

    def context(self) -> ssl.SSLContext:
        """Return the server's side of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The ssl module reads keys from files only.
        descriptor, path = tempfile.mkstemp()
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.key + self.certificate)
            context.load_cert_chain(path)
        finally:
            Path(path).unlink()
        return context


def load_or_create_identity(directory: Path | None) -> ServerIdentity:
    """Return the identity kept in a directory, or a new one; without a directory it is not kept."""
    path = directory / _FILE if directory is not None else None
    if path is not None and path.exists():
        content = path.read_bytes()
        start = content.index(b"-----BEGIN CERTIFICATE")
        return ServerIdentity(key=content[:start], certificate=content[start:])
    identity = _create()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(identity.key + identity.certificate)
    return identity


def _create() -> ServerIdentity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(UTC)
    addresses = [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1")]
    names: list[x509.GeneralName] = [x509.IPAddress(address) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([*names, x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    return ServerIdentity(
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
    )
