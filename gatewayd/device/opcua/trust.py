"""Who we talk to and who we are: the server's pinned certificate, our own certificate, the password.

A server is the one whose exact certificate a person put beside the configuration. No certificate authority, no trust on
first use, and nothing that an unauthenticated GetEndpoints says.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from gatewayd.errors import DeviceNotTrusted
from gatewayd.model.config import OpcuaDevice

CERTIFICATE_BYTES_MAX = 65_536
PASSWORD_BYTES_MAX = 1024
IDENTITY_YEARS = 20
CLOCK_FLOOR = datetime(2025, 1, 1, tzinfo=UTC)  # a gateway without a battery clock may start in 1970

_ACCEPTED = re.compile(r"accepted-by=\S[\x20-\x7e\x80-\U0010ffff]{0,127}")


class Pin(Struct, frozen=True):
    """The one certificate a server may show."""

    der: bytes
    expires: datetime
    path: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as tools show it."""
        return fingerprint(self.der)


class Identity(Struct, frozen=True):
    """Our application's certificate and key."""

    certificate_der: bytes
    key_pem: bytes
    path: str  # the certificate to install in the server's trust list


class Trust(Struct, frozen=True):
    """Everything a connection needs to prove and to check. `pin` and `identity` are None only when the plant accepted that."""

    pin: Pin | None
    identity: Identity | None
    password: str | None


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as 64 hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


def check_security(device: OpcuaDevice) -> None:
    """Refuse a device whose security settings no person has answered for.

    Raises:
        DeviceNotTrusted: no security without a named acceptance, no pin, or a password that would travel unprotected.
    """
    if device.security == "None":
        if not _ACCEPTED.fullmatch(device.insecure or ""):
            raise DeviceNotTrusted(
                f'{device.name}: security = "None" is accepted by nobody',
                remedy='Use Aes256_Sha256_RsaPss with server_certificate, or add insecure = "accepted-by=NAME".',
            )
        if device.user is not None:
            raise DeviceNotTrusted(
                f'{device.name}: a password would be sent over security = "None"',
                remedy="Use a security policy with a pinned server_certificate, or remove user and password_file.",
            )
        return
    if device.mode == "None":
        raise DeviceNotTrusted(
            f'{device.name}: mode = "None" contradicts security = "{device.security}"',
            remedy='Set mode = "SignAndEncrypt".',
        )
    if device.server_certificate is None:
        raise DeviceNotTrusted(
            f"{device.name}: no server_certificate is pinned",
            remedy="Export the server's certificate and name its file in server_certificate.",
        )


def load_trust(device: OpcuaDevice, folder: Path, identity_folder: Path, wall_ns: int) -> Trust:
    """Read pin, identity and password from their files; make our identity on first use. Blocks, up to seconds.

    Args:
        device: whose security settings passed `check_security`.
        folder: what relative file names in the configuration start from.
        identity_folder: where our own certificate is kept when the configuration names none.
        wall_ns: now, for the validity of a new certificate.

    Raises:
        DeviceNotTrusted: a file is missing, too large, or not what it should be.
    """
    password = None if device.password_file is None else _password(device.name, folder / device.password_file)
    if device.security == "None":
        return Trust(None, None, password)
    assert device.server_certificate is not None
    pin = load_pin(device.name, folder / device.server_certificate)
    if device.certificate is not None and device.private_key is not None:
        identity = _configured_identity(device.name, folder / device.certificate, folder / device.private_key)
    elif device.certificate is None and device.private_key is None:
        identity = own_identity(identity_folder, device.application_uri, wall_ns)
    else:
        raise DeviceNotTrusted(
            f"{device.name}: only one of certificate and private_key is given",
            remedy="Give both, or neither: then gatewayd makes its own pair.",
        )
    return Trust(pin, identity, password)


def load_pin(name: str, path: Path) -> Pin:
    """Read the pinned server certificate, PEM or DER.

    Raises:
        DeviceNotTrusted: no readable certificate there.
    """
    certificate = _certificate(name, path)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Pin(der, certificate.not_valid_after_utc, str(path))


def own_identity(identity_folder: Path, application_uri: str, wall_ns: int) -> Identity:
    """Return our own certificate for an application URI, made on first use and kept from then on.

    Key and certificate share one PEM file (mode 0600), so that they can never be of two pairs; the certificate alone is
    written beside it as `.der`, for the server's trust list.

    Raises:
        DeviceNotTrusted: the file is there but unusable.
    """
    slug = re.sub(r"[^A-Za-z0-9]+", "-", application_uri).strip("-")[:40]
    stem = f"opcua-{slug}-{hashlib.sha256(application_uri.encode()).hexdigest()[:8]}"
    pem_path, der_path = identity_folder / f"{stem}.pem", identity_folder / f"{stem}.der"
    if not pem_path.exists():
        _write_once(pem_path, _new_identity(application_uri, wall_ns))
    content = _content("our OPC UA identity", pem_path, CERTIFICATE_BYTES_MAX)
    try:
        certificate = x509.load_pem_x509_certificate(content)
        _check_pair(certificate, content)
    except (ValueError, TypeError) as error:
        raise DeviceNotTrusted(
            f"{pem_path} does not hold a key and its certificate",
            remedy="Remove the file; a new pair is made, whose certificate the servers must trust again.",
        ) from error
    der = certificate.public_bytes(serialization.Encoding.DER)
    if not der_path.exists():
        der_path.write_bytes(der)
    return Identity(der, _key_of(content), str(der_path))


def keep_presented(identity_folder: Path, name: str, der: bytes) -> Path:
    """Keep the certificate a server showed instead of the pinned one, for a person to compare; one file per device."""
    path = identity_folder / "rejected" / f"{name}.der"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(der[:CERTIFICATE_BYTES_MAX])
    return path


def first_certificate(chain: bytes) -> bytes:
    """Return the first certificate of a DER chain; the input itself when it is no DER sequence."""
    if len(chain) < 4 or chain[0] != 0x30 or chain[1] < 0x81 or chain[1] > 0x84:
        return chain
    digits = chain[1] & 0x0F
    return chain[: 2 + digits + int.from_bytes(chain[2 : 2 + digits], "big")]


def _password(name: str, path: Path) -> str:
    content = _content(f"{name}: password_file", path, PASSWORD_BYTES_MAX)
    try:
        password = content.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DeviceNotTrusted(f"{name}: {path} is not UTF-8 text", remedy="Save the password as UTF-8.") from error
    if not password:
        raise DeviceNotTrusted(f"{name}: {path} is empty", remedy="Put the password on the file's only line.")
    return password


def _configured_identity(name: str, certificate_path: Path, key_path: Path) -> Identity:
    certificate = _certificate(name, certificate_path)
    content = _content(f"{name}: private_key", key_path, CERTIFICATE_BYTES_MAX)
    try:
        _check_pair(certificate, content)
        key_pem = _key_of(content)
    except (ValueError, TypeError) as error:
        raise DeviceNotTrusted(
            f"{name}: {key_path} is not the key of {certificate_path}",
            remedy="Give an unencrypted RSA key of at least 2048 bits, PEM or DER, that belongs to the certificate.",
        ) from error
    return Identity(certificate.public_bytes(serialization.Encoding.DER), key_pem, str(certificate_path))


def _certificate(name: str, path: Path) -> x509.Certificate:
    content = _content(f"{name}: certificate", path, CERTIFICATE_BYTES_MAX)
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(first_certificate(content))
    except ValueError as error:
        raise DeviceNotTrusted(
            f"{name}: {path} holds no X.509 certificate", remedy="Export it again as PEM or DER (.pem, .crt, .der)."
        ) from error


def _content(what: str, path: Path, size_max: int) -> bytes:
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


def _load_key(content: bytes) -> rsa.RSAPrivateKey:
    is_pem = b"-----BEGIN" in content
    load = serialization.load_pem_private_key if is_pem else serialization.load_der_private_key
    key = load(content, None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise ValueError("not an RSA key of at least 2048 bits")
    return key


def _check_pair(certificate: x509.Certificate, content: bytes) -> None:
    if _load_key(content).public_key() != certificate.public_key():
        raise ValueError("the key belongs to another certificate")


def _key_of(content: bytes) -> bytes:
    return _pem(_load_key(content))


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _new_identity(application_uri: str, wall_ns: int) -> bytes:
    """Return a new RSA 2048 key and its certificate (Part 6, 6.2.2) as PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    since = max(datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC) - timedelta(days=1), CLOCK_FLOOR)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gatewayd")])
    host = socket.gethostname() or "localhost"
    # A server finds the application by its URI; self-signed application certificates sign themselves, hence keyCertSign.
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(application_uri), x509.DNSName(host)]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    )
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(since).not_valid_after(since + timedelta(days=365 * IDENTITY_YEARS))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return _pem(key) + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _write_once(path: Path, content: bytes) -> None:
    """Put a secret file in place, whole or not at all; a file already there wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another device of the same application URI was first
    finally:
        draft.unlink()
