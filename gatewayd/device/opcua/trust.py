"""Whom a device's connection trusts and who it says it is: server certificate, our certificate, user, password.

A server is trusted by its exact certificate: a file pinned in the configuration, or an entry of the gateway's trust list. No
trust on first use, and nothing that an unauthenticated GetEndpoints says is believed.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from gatewayd.device.opcua.certificate import Certificate, KeyPair, read_certificate, read_key_pair, read_secret
from gatewayd.device.opcua.identity import own_identity
from gatewayd.errors import DeviceNotTrusted
from gatewayd.model.device import OpcuaDevice

PASSWORD_BYTES_MAX = 1024

_ACCEPTED = re.compile(r"accepted-by=\S[\x20-\x7e\x80-\U0010ffff]{0,127}")


class Trust(Struct, frozen=True):
    """Everything a connection needs to prove and to check. Without security, which the plant accepted, all may be None."""

    server: Certificate | None  # the one certificate the server may show; None = not yet decided
    identity: KeyPair | None
    application_uri: str
    user: str | None = None
    password: str | None = None
    user_identity: KeyPair | None = None


def check_security(device: OpcuaDevice) -> None:
    """Refuse a device whose security settings no person has answered for.

    Raises:
        DeviceNotTrusted: no security without a named acceptance, or a user whose proof would travel unprotected.
    """
    if device.security != "None":
        if device.mode == "None":
            raise DeviceNotTrusted(
                f'{device.name}: mode = "None" contradicts security = "{device.security}"',
                remedy='Set mode = "SignAndEncrypt".',
            )
        return
    if not _ACCEPTED.fullmatch(device.insecure or ""):
        raise DeviceNotTrusted(
            f'{device.name}: security = "None" is accepted by nobody',
            remedy='Use Aes256_Sha256_RsaPss, or add insecure = "accepted-by=NAME".',
        )
    if device.user is not None or device.user_certificate is not None:
        what = "a password" if device.user is not None else "a user certificate"
        raise DeviceNotTrusted(
            f'{device.name}: {what} would be sent over security = "None"',
            remedy="Use a security policy, or remove the user.",
        )


def load_trust(device: OpcuaDevice, folder: Path, identity_folder: Path, wall_ns: int) -> Trust:
    """Read pin, identity and user from their files; make our identity on first use. Blocks, up to seconds.

    Args:
        device: whose security settings passed `check_security`.
        folder: what relative file names in the configuration start from.
        identity_folder: where our own certificate is kept when the configuration names none.
        wall_ns: now, for the validity of a new certificate.

    Returns:
        `server` is None when no certificate is pinned: the trust list decides.

    Raises:
        DeviceNotTrusted: a file is missing, too large, or not what it should be.
    """
    if device.security == "None":
        return Trust(None, None, device.application_uri)
    server = None if device.server_certificate is None else load_pin(device.name, folder / device.server_certificate)
    identity = load_identity(device, folder, identity_folder, wall_ns)
    return Trust(
        server=server,
        identity=identity,
        application_uri=application_uri(device, identity.certificate),
        user=device.user,
        password=None if device.password_file is None else _password(device.name, folder / device.password_file),
        user_identity=_user_identity(device, folder),
    )


def load_pin(name: str, path: Path) -> Certificate:
    """Read the pinned server certificate, PEM or DER.

    Raises:
        DeviceNotTrusted: no readable certificate there.
    """
    return read_certificate(name, path)


def load_identity(device: OpcuaDevice, folder: Path, identity_folder: Path, wall_ns: int) -> KeyPair:
    """Return the pair that the configuration names, else our own.

    Raises:
        DeviceNotTrusted: a file is unusable, or one of the two is not named.
    """
    if device.certificate is not None and device.private_key is not None:
        return read_key_pair(device.name, folder / device.certificate, folder / device.private_key)
    if device.certificate is not None or device.private_key is not None:
        raise DeviceNotTrusted(
            f"{device.name}: only one of certificate and private_key is given",
            remedy="Give both, or neither: then gatewayd makes its own pair.",
        )
    return own_identity(identity_folder, device.application_uri, wall_ns)


def application_uri(device: OpcuaDevice, certificate: Certificate) -> str:
    """Return the URI to call ourselves: the certificate's, for a server compares the two (Part 4, 5.6.2)."""
    return certificate.application_uris[0] if certificate.application_uris else device.application_uri


def _user_identity(device: OpcuaDevice, folder: Path) -> KeyPair | None:
    if device.user_certificate is None and device.user_private_key is None:
        return None
    if device.user_certificate is None or device.user_private_key is None:
        raise DeviceNotTrusted(
            f"{device.name}: only one of user_certificate and user_private_key is given",
            remedy="Give both, or neither: then the session is anonymous, or of user and password_file.",
        )
    return read_key_pair(f"{device.name} user", folder / device.user_certificate, folder / device.user_private_key)


def _password(name: str, path: Path) -> str:
    content = read_secret(f"{name}: password_file", path, PASSWORD_BYTES_MAX)
    try:
        password = content.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DeviceNotTrusted(f"{name}: {path} is not UTF-8 text", remedy="Save the password as UTF-8.") from error
    if not password:
        raise DeviceNotTrusted(f"{name}: {path} is empty", remedy="Put the password on the file's only line.")
    return password
