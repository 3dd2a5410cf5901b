"""The gateway's trust list: the server certificates that a person trusts, and those that servers showed in vain.

Files in the storage's identity folder, so that the command line needs no daemon and the daemon no command line:

    trusted/DEVICE.FINGERPRINT.der    trusted for one device
    trusted/FINGERPRINT.der           trusted for every device, as is any other certificate file put there by hand
    rejected/DEVICE.FINGERPRINT.der   what a device's server showed and nobody trusts

A certificate is trusted for one device unless a person says otherwise: else a server that was broken into could pose as any
other. Files are written whole; what is not the certificate that its name says is passed over.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gatewayd.device.opcua.certificate import CERTIFICATE_BYTES_MAX, Certificate, fingerprint, parse_certificate
from gatewayd.device.opcua.identity import give_to_owner
from gatewayd.errors import RequestRefused, StoreError

REJECTED_PER_DEVICE_MAX = 4  # a server that shows a new certificate each time must not push out another's
REJECTED_MAX = 256
TRUSTED_MAX = 1024
PREFIX_CHARS_MIN = 4

_NAME = re.compile(r"(?:([A-Za-z][A-Za-z0-9_-]{0,63})\.)?([0-9a-f]{64})\.der")
_SUFFIXES = {".der", ".pem", ".crt", ".cer"}


class Entry(Struct, frozen=True):
    """One certificate of the list."""

    device: str  # "" = every device
    certificate: Certificate
    path: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate."""
        return self.certificate.fingerprint


class TrustList:
    """The list of one gateway, read anew at each question.

    Args:
        identity_folder: `identity` in the storage folder; need not exist yet.
    """

    def __init__(self, identity_folder: Path) -> None:
        self.folder = identity_folder
        self._trusted = identity_folder / "trusted"
        self._rejected = identity_folder / "rejected"

    def trusted(self, device: str | None = None) -> tuple[Entry, ...]:
        """Return the trusted certificates, of all devices or those that count for one."""
        return tuple(_entries(self._trusted, TRUSTED_MAX, device))

    def rejected(self) -> tuple[Entry, ...]:
        """Return what servers showed in vain, newest last."""
        found = list(_entries(self._rejected, REJECTED_MAX))
        return tuple(sorted(found, key=lambda entry: _modified_ns(entry.path)))

    @property
    def version(self) -> tuple[int, int]:
        """Return something that differs once a certificate was added or removed; costs one call to the system."""
        try:
            stat = self._trusted.stat()
        except OSError:
            return 0, 0
        return stat.st_ino, stat.st_mtime_ns

    def digest(self, device: str) -> bytes:
        """Return the SHA-256 over the sorted fingerprints of what counts for a device, for the journal."""
        return hashlib.sha256("\n".join(sorted({e.fingerprint for e in self.trusted(device)})).encode()).digest()

    def reject(self, device: str, der: bytes) -> str:
        """Keep a certificate that a server showed; return its fingerprint. The oldest beyond the limits go.

        Raises:
            StoreError: it cannot be kept.
        """
        shown = der[:CERTIFICATE_BYTES_MAX]
        self._put(self._rejected, device, shown)
        kept = [path for path in _files(self._rejected, 2 * REJECTED_MAX) if _NAME.fullmatch(path.name)]
        kept.sort(key=_modified_ns)
        same = [path for path in kept if path.name.startswith(f"{device}.")]
        for path in {*same[:-REJECTED_PER_DEVICE_MAX], *kept[:-REJECTED_MAX]}:
            path.unlink(missing_ok=True)
        return fingerprint(shown)

    def trust(self, certificate: Certificate, device: str) -> None:
        """Trust a certificate for a device, "" for every one, and take it off the rejected ones.

        Raises:
            RequestRefused: the list is full.
            StoreError: it cannot be written.
        """
        if len(_files(self._trusted, TRUSTED_MAX)) >= TRUSTED_MAX:
            raise RequestRefused(
                f"the trust list holds {TRUSTED_MAX} certificates, which is its limit",
                remedy="Remove what is no longer used: gatewayd trust list, gatewayd trust remove FINGERPRINT.",
            )
        self._put(self._trusted, device, certificate.der)
        self.forget(e for e in self.rejected() if e.fingerprint == certificate.fingerprint and device in ("", e.device))

    def forget(self, entries: Iterable[Entry]) -> None:
        """Remove entries from where they are.

        Raises:
            StoreError: a file cannot be removed.
        """
        for entry in entries:
            with _told(entry.path):
                entry.path.unlink(missing_ok=True)

    def _put(self, folder: Path, device: str, der: bytes) -> None:
        name = f"{fingerprint(der)}.der"
        path = folder / (f"{device}.{name}" if device else name)
        with _told(path):
            if path.exists() and path.read_bytes() == der:
                return  # a server that is refused shows it again and again; flash wears out
            for made in (self.folder, folder):
                if not made.exists():
                    made.mkdir(parents=True, mode=0o700)
                    give_to_owner(made)
            draft = path.with_name(f".{secrets.token_hex(8)}")
            try:
                draft.write_bytes(der)
                give_to_owner(draft)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into a StoreError with its cure."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}",
            remedy="Run it as root or as the daemon's user: sudo -u gatewayd gatewayd trust ...",
        ) from error


def matching(entries: Iterable[Entry], prefix: str) -> tuple[Entry, ...]:
    """Return the entries of the one certificate whose fingerprint begins so; spaces and colons in it do not count.

    Raises:
        RequestRefused: there is none, or more than one.
    """
    wanted = re.sub(r"[\s:]", "", prefix).lower()
    if len(wanted) < PREFIX_CHARS_MIN or not re.fullmatch(r"[0-9a-f]{1,64}", wanted):
        raise RequestRefused(
            f"{prefix!r} is neither a file nor the beginning of a SHA-256 fingerprint",
            remedy=f"Give at least {PREFIX_CHARS_MIN} of its hexadecimal digits; `gatewayd trust list` shows them.",
        )
    found = tuple(entry for entry in entries if entry.fingerprint.startswith(wanted))
    several = sorted({entry.fingerprint for entry in found})
    if not found:
        raise RequestRefused(
            f"no certificate here has a fingerprint that begins with {wanted}",
            remedy="`gatewayd trust list` shows what there is; a server's certificate arrives with the next connect.",
        )
    if len(several) > 1:
        raise RequestRefused(
            f"{wanted} is the beginning of {len(several)} fingerprints: {', '.join(several[:8])}",
            remedy="Give more of its digits.",
        )
    return found


def _entries(folder: Path, most: int, device: str | None = None) -> Iterator[Entry]:
    """Yield the certificates of a folder; those of other devices than the one asked for are not even opened."""
    for path in _files(folder, most):
        named = _NAME.fullmatch(path.name)
        if device is not None and named is not None and named[1] not in (None, device):
            continue
        try:
            with path.open("rb") as file:
                content = file.read(CERTIFICATE_BYTES_MAX + 1)
            certificate = parse_certificate(content)
        except (OSError, ValueError):
            continue
        if named is None:
            yield Entry("", certificate, path)
        elif named[2] == certificate.fingerprint:
            yield Entry(named[1] or "", certificate, path)


def _files(folder: Path, most: int) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry, _ in zip(found, range(2 * most), strict=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if Path(name).suffix in _SUFFIXES and name[0] != "."][:most]


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
