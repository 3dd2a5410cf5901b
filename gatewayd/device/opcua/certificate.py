"""X.509 certificates as files and as people compare them. No asyncua: the command line and the expiry watch read them, too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from msgspec import Struct

from gatewayd.errors import DeviceNotTrusted

CERTIFICATE_BYTES_MAX = 65_536
KEY_BITS_MIN = 2048
TEXT_CHARS_MAX = 256


class Certificate(Struct, frozen=True):
    """What a person compares before trusting a certificate, and a programme before using it."""

    der: bytes
    subject: str
    issuer: str
    application_uris: tuple[str, ...]  # of its subject alternative name
    hosts: tuple[str, ...]  # DNS names and IP addresses of its subject alternative name
    valid_from: datetime
    expires: datetime

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate as 64 hexadecimal digits, as other tools show it."""
        return fingerprint(self.der)

    @property
    def expires_ns(self) -> int:
        """Wall time of its end."""
        return int(self.expires.timestamp()) * 1_000_000_000


class KeyPair(Struct, frozen=True):
    """A certificate with its private key, and the file that names it in messages."""

    certificate: Certificate
    key_pem: bytes
    path: str


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as 64 hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


def first_certificate(chain: bytes) -> bytes:
    """Return the first certificate of a DER chain; the input itself when it is no DER sequence."""
    if len(chain) < 4 or chain[0] != 0x30 or chain[1] < 0x81 or chain[1] > 0x84:
        return chain
    digits = chain[1] & 0x0F
    return chain[: 2 + digits + int.from_bytes(chain[2 : 2 + digits], "big")]


def parse_certificate(content: bytes) -> Certificate:
    """Read a certificate, PEM or DER; of a chain the first.

    Raises:
        ValueError: the bytes hold no certificate with a name, a time and a key that can be read.
    """
    if b"-----BEGIN" in content:
        loaded = x509.load_pem_x509_certificate(content)
    else:
        loaded = x509.load_der_x509_certificate(first_certificate(content))
    uris, hosts = _alternative_names(loaded)
    return Certificate(
        der=loaded.public_bytes(Encoding.DER),
        subject=loaded.subject.rfc4514_string()[:TEXT_CHARS_MAX],
        issuer=loaded.issuer.rfc4514_string()[:TEXT_CHARS_MAX],
        application_uris=uris,
        hosts=hosts,
        valid_from=loaded.not_valid_before_utc,
        expires=loaded.not_valid_after_utc,
    )


def read_certificate(name: str, path: Path) -> Certificate:
    """Read a certificate file, PEM or DER.

    Args:
        name: of the device or the purpose, for the message.
        path: the file.

    Raises:
        DeviceNotTrusted: no readable certificate there.
    """
    content = read_secret(f"{name}: certificate", path, CERTIFICATE_BYTES_MAX)
    try:
        return parse_certificate(content)
    except ValueError as error:
        raise DeviceNotTrusted(
            f"{name}: {path} holds no X.509 certificate", remedy="Export it again as PEM or DER (.pem, .crt, .der)."
        ) from error


def read_key_pair(name: str, certificate_path: Path, key_path: Path) -> KeyPair:
    """Read a certificate and the key that belongs to it, from two files.

    Raises:
        DeviceNotTrusted: a file is unusable, or they are of two pairs.
    """
    certificate = read_certificate(name, certificate_path)
    content = read_secret(f"{name}: private key", key_path, CERTIFICATE_BYTES_MAX)
    try:
        key_pem = key_of(certificate, content)
    except (ValueError, TypeError) as error:
        raise DeviceNotTrusted(
            f"{name}: {key_path} is not the key of {certificate_path}",
            remedy=f"Give an unencrypted RSA key of at least {KEY_BITS_MIN} bits, PEM or DER, of this certificate.",
        ) from error
    return KeyPair(certificate, key_pem, str(certificate_path))


def read_secret(what: str, path: Path, size_max: int) -> bytes:
    """Read a small file whole.

    Raises:
        DeviceNotTrusted: it cannot be read, or is larger than `size_max` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(size_max + 1)
    except OSError as error:
        raise DeviceNotTrusted(
            f"{what}: cannot read {path}: {error.strerror}",
            remedy="Put the file there, readable by the daemon's user.",
        ) from error
    if len(content) > size_max:
        raise DeviceNotTrusted(f"{what}: {path} is larger than {size_max} bytes", remedy="Name the right file.")
    return content


def key_of(certificate: Certificate, content: bytes) -> bytes:
    """Return the RSA key in some bytes as PEM, if it belongs to the certificate.

    Raises:
        ValueError, TypeError: there is no such key, or it is the key of another certificate.
    """
    load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
    key = load(content, None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < KEY_BITS_MIN:
        raise ValueError(f"not an RSA key of at least {KEY_BITS_MIN} bits")
    if key.public_key() != x509.load_der_x509_certificate(certificate.der).public_key():
        raise ValueError("the key belongs to another certificate")
    return key_to_pem(key)


def key_to_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return a key as unencrypted PKCS 8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def weaknesses(certificate: Certificate) -> Iterator[str]:
    """Yield why a server may refuse this certificate as an application's (Part 6, 6.2.2), apart from its dates."""
    loaded = x509.load_der_x509_certificate(certificate.der)
    if len(certificate.application_uris) != 1:
        yield f"names {len(certificate.application_uris)} application URIs in its subject alternative name, not one"
    try:
        usage = loaded.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        yield "has no key usage"
        return
    wanted = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    missing = [name for name in wanted if not getattr(usage, name)]
    if missing:
        yield f"lacks the key usage {', '.join(missing)}"


def _alternative_names(loaded: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))
    return tuple(uri[:TEXT_CHARS_MAX] for uri in uris[:8]), tuple(host[:TEXT_CHARS_MAX] for host in hosts[:64])
