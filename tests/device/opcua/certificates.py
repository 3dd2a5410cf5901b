"""Certificates in files, as servers, users and issuers have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_URI = "urn:freeopcua:python:server"
_USAGE = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_cert_sign")


class Certificate:
    """A self-signed certificate and key in files.

    Args:
        folder: where the files go.
        name: of the files, and the common name.
        expired: since yesterday.
        days: from now to its end, if it is not expired.
        uri: its application URI; "" = none.
        usage: of the key.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        expired: bool = False,
        days: int = 30,
        uri: str = SERVER_URI,
        usage: tuple[str, ...] = _USAGE,
    ) -> None:
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        flags = dict.fromkeys((*_USAGE, "key_agreement", "crl_sign", "encipher_only", "decipher_only"), False)
        flags |= dict.fromkeys(usage, True)
        names = [*([x509.UniformResourceIdentifier(uri)] if uri else []), x509.DNSName("localhost")]
        self.expires = (now - timedelta(days=1) if expired else now + timedelta(days=days)).replace(microsecond=0)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(self.expires)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**flags), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.der_path, self.pem_path = folder / f"{name}.der", folder / f"{name}.crt"
        self.key_path = folder / f"{name}.key.pem"
        self.der_path.write_bytes(self.der)
        self.pem_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.options = ("--certificate", str(self.der_path), "--key", str(self.key_path))
