"""Our own application certificate: made on first use, kept, renewed when a person asks for it, never by itself.

A server trusts exactly the certificate that somebody installed in it. To replace it unasked would cut the plant off from
us, so an end that comes near is a warning (`gatewayd.device.opcua.expiry`), and `gatewayd trust renew` is the cure.
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
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatewayd.device.opcua.certificate import (
    CERTIFICATE_BYTES_MAX,
    KeyPair,
    key_of,
    key_to_pem,
    parse_certificate,
    read_secret,
)
from gatewayd.errors import DeviceNotTrusted

YEARS = 20
IDENTITIES_MAX = 64  # application URIs of one gateway
CLOCK_FLOOR = datetime(2025, 1, 1, tzinfo=UTC)  # a gateway without a battery clock may start in 1970


def own_identity(identity_folder: Path, application_uri: str, wall_ns: int) -> KeyPair:
    """Return our own certificate for an application URI, made on first use and kept from then on.

    Key and certificate share one PEM file (mode 0600), so that they can never be of two pairs; the certificate alone is
    written beside it as `.der`, for the server's trust list.

    Raises:
        DeviceNotTrusted: the file is there but unusable.
    """
    pem_path = _pem_path(identity_folder, application_uri)
    if not pem_path.exists():
        _write_once(pem_path, _new_pair(application_uri, wall_ns))
    return _load(pem_path)


def own_identities(identity_folder: Path) -> tuple[KeyPair, ...]:
    """Return every certificate that this gateway made for itself; one that is damaged is left out."""
    found: list[KeyPair] = []
    for path in sorted(identity_folder.glob("opcua-*.pem"))[:IDENTITIES_MAX]:
        try:
            found.append(_load(path))
        except DeviceNotTrusted:
            continue  # whoever needs it is told
    return tuple(found)


def renew(identity_folder: Path, application_uri: str, wall_ns: int) -> KeyPair:
    """Put a new key and certificate in the place of our own; the old pair stays beside it, ending in `.old`.

    Sessions that are open go on; the next connect shows the new certificate, which every server must trust anew.

    Raises:
        DeviceNotTrusted: the folder cannot be written.
    """
    pem_path = _pem_path(identity_folder, application_uri)
    try:
        if not identity_folder.exists():
            identity_folder.mkdir(parents=True, mode=0o700)
            give_to_owner(identity_folder)
        if pem_path.exists():
            pem_path.replace(pem_path.with_name(f"{pem_path.name}.old"))
        pem_path.with_suffix(".der").unlink(missing_ok=True)
        _write_once(pem_path, _new_pair(application_uri, wall_ns))
        give_to_owner(pem_path)
    except OSError as error:
        raise DeviceNotTrusted(
            f"{identity_folder}: no new certificate was made: {error.strerror}",
            remedy="Run it as the daemon's user: sudo -u gatewayd gatewayd trust renew.",
        ) from error
    return _load(pem_path)


def give_to_owner(path: Path) -> None:
    """Give a file that root made to whom the folder belongs: the daemon must be able to read it."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _pem_path(identity_folder: Path, application_uri: str) -> Path:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", application_uri).strip("-")[:40]
    return identity_folder / f"opcua-{slug}-{hashlib.sha256(application_uri.encode()).hexdigest()[:8]}.pem"


def _load(pem_path: Path) -> KeyPair:
    content = read_secret("our OPC UA identity", pem_path, CERTIFICATE_BYTES_MAX)
    try:
        certificate = parse_certificate(content)
        key_pem = key_of(certificate, content)
    except (ValueError, TypeError) as error:
        raise DeviceNotTrusted(
            f"{pem_path} does not hold a key and its certificate",
            remedy="Remove the file; a new pair is made, whose certificate the servers must trust again.",
        ) from error
    der_path = pem_path.with_suffix(".der")
    if not der_path.exists():
        der_path.write_bytes(certificate.der)
        give_to_owner(der_path)
    return KeyPair(certificate, key_pem, str(der_path))


def _new_pair(application_uri: str, wall_ns: int) -> bytes:
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
    builder = builder.not_valid_before(since).not_valid_after(since + timedelta(days=365 * YEARS))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return key_to_pem(key) + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


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
