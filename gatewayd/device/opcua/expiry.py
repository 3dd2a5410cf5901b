"""Warns ahead of certificates that end, ours and the servers', and of ones that a server may refuse. No asyncua.

An expired server certificate that a person pinned or trusts still connects: it is this very certificate that is trusted, and a
pump must not stop at midnight. So the warning is what there is, and it comes early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.device.opcua.certificate import Certificate, read_certificate, weaknesses
from gatewayd.device.opcua.trust import load_identity, load_pin
from gatewayd.device.opcua.trust_list import TrustList
from gatewayd.errors import DeviceNotTrusted
from gatewayd.model.device import OpcuaDevice

DAY_NS = 86_400_000_000_000
WARN_AHEAD_DAYS = 60
LOOK_EVERY_NS = 600_000_000_000


class CertificateWarning(Struct, frozen=True):
    """One thing about a certificate that a person should see to."""

    about: str  # whose it is; the same words as long as it is the same matter
    text: str
    remedy: str


def certificate_warnings(
    devices: Sequence[OpcuaDevice], folder: Path, identity_folder: Path, wall_ns: int
) -> tuple[CertificateWarning, ...]:
    """Return what is wrong, or soon will be, with the certificates of secured devices. Blocks: reads files.

    Args:
        devices: of the site; those without security are passed over.
        folder: what relative file names in the configuration start from.
        identity_folder: where our own certificates and the trust list live.
        wall_ns: now.
    """
    files = _Files(folder, identity_folder, wall_ns)
    found: dict[str, CertificateWarning] = {}
    for device in devices:
        if device.security != "None":
            for warning in _of(device, files, wall_ns):
                found.setdefault(warning.about, warning)  # devices share our own certificate
    return tuple(found.values())


class _Files:
    """What one look reads, each file once however many devices use it."""

    def __init__(self, folder: Path, identity_folder: Path, wall_ns: int) -> None:
        self.folder = folder
        self._identity_folder = identity_folder
        self._wall_ns = wall_ns
        self._own: dict[tuple[str | None, str], Certificate] = {}
        self._longest: dict[str, Certificate] = {}  # of the trusted ones per device; "" = for every device
        for entry in TrustList(identity_folder).trusted():
            known = self._longest.get(entry.device, entry.certificate)
            self._longest[entry.device] = max(known, entry.certificate, key=_end)

    def own(self, device: OpcuaDevice) -> Certificate:
        """Return ours for a device."""
        key = device.certificate, device.application_uri
        if key not in self._own:
            self._own[key] = load_identity(device, self.folder, self._identity_folder, self._wall_ns).certificate
        return self._own[key]

    def server(self, device: OpcuaDevice) -> Certificate | None:
        """Return the pinned certificate, else of those in the trust list the one that lasts longest."""
        if device.server_certificate is not None:
            return load_pin(device.name, self.folder / device.server_certificate)
        trusted = [self._longest[name] for name in ("", device.name) if name in self._longest]
        return max(trusted, key=_end, default=None)


def _of(device: OpcuaDevice, files: _Files, wall_ns: int) -> Iterator[CertificateWarning]:
    try:
        own = files.own(device)
        is_made = device.certificate is None
        whose = f"our own certificate {own.fingerprint[:16]}" if is_made else f"certificate {device.certificate}"
        cure = "Run gatewayd trust renew" if is_made else "Replace it"
        yield from _ending(whose, own, wall_ns, f"{cure}, then let the servers trust the new one.")
        if not is_made:
            yield from _unfit(device, whose, own)
        server = files.server(device)
        if server is not None:
            remedy = "Have it renewed; trust the new one beforehand with gatewayd trust add FILE, or pin it."
            yield from _ending(f"device {device.name}: the server's certificate", server, wall_ns, remedy)
        if device.user_certificate is not None:
            user = read_certificate(f"{device.name} user", files.folder / device.user_certificate)
            remedy = "Replace it, and let the server trust the new one."
            yield from _ending(
                f"device {device.name}: user certificate {device.user_certificate}", user, wall_ns, remedy
            )
    except DeviceNotTrusted as error:
        yield CertificateWarning(f"device {device.name}", error.message, error.remedy)


def _end(certificate: Certificate) -> int:
    return certificate.expires_ns


def _ending(whose: str, certificate: Certificate, wall_ns: int, remedy: str) -> Iterator[CertificateWarning]:
    left_ns = certificate.expires_ns - wall_ns
    if left_ns <= 0:
        yield CertificateWarning(whose, f"{whose} expired on {certificate.expires:%Y-%m-%d}", remedy)
    elif left_ns < WARN_AHEAD_DAYS * DAY_NS:
        days = left_ns // DAY_NS
        yield CertificateWarning(whose, f"{whose} expires in {days} days, on {certificate.expires:%Y-%m-%d}", remedy)


def _unfit(device: OpcuaDevice, whose: str, own: Certificate) -> Iterator[CertificateWarning]:
    for why in weaknesses(own):
        text = f"{whose} {why}; some servers refuse that"
        yield CertificateWarning(f"{whose} {why}", text, "Have it issued anew as an OPC UA application certificate.")
    if own.application_uris and own.application_uris[0] != device.application_uri:
        text = f"{whose} says application URI {own.application_uris[0]}, device {device.name} {device.application_uri}"
        yield CertificateWarning(
            f"{whose} for {device.name}",
            f"{text}; the certificate's is used",
            f'Set application_uri = "{own.application_uris[0]}".',
        )


class CertificateWatch:
    """Looks at the certificates every ten minutes and tells each warning once a day at most.

    Args:
        devices: of the site.
        folder: what relative file names in the configuration start from.
        identity_folder: where our own certificates and the trust list live.
        clock: wall time for validity, boot time for the next look.
        show: takes all that holds now, for the status.
        tell: takes what is to be logged.
    """

    def __init__(
        self,
        devices: Sequence[OpcuaDevice],
        folder: Path,
        identity_folder: Path,
        *,
        clock: Clock,
        show: Callable[[tuple[str, ...]], None],
        tell: Callable[[CertificateWarning], None],
    ) -> None:
        self._devices = devices
        self._folder = folder
        self._identity_folder = identity_folder
        self._clock = clock
        self._show = show
        self._tell = tell
        self._told_mono_ns: dict[str, int] = {}

    async def run(self) -> None:
        """Look for ever; cancelled by the task group."""
        while True:
            await self.look()
            await self._clock.sleep_until(self._clock.monotonic_ns() + LOOK_EVERY_NS)

    async def look(self) -> None:
        """Look once."""
        warnings = await asyncio.to_thread(
            certificate_warnings, self._devices, self._folder, self._identity_folder, self._clock.wall_ns()
        )
        self._show(tuple(f"{warning.text}. {warning.remedy}" for warning in warnings))
        now_ns = self._clock.monotonic_ns()
        told = {warning.about: self._told_mono_ns.get(warning.about) for warning in warnings}
        for warning in warnings:
            last_ns = told[warning.about]
            if last_ns is None or now_ns - last_ns >= DAY_NS:
                self._tell(warning)
                told[warning.about] = now_ns
        self._told_mono_ns = {about: at_ns for about, at_ns in told.items() if at_ns is not None}
