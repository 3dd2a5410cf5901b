"""Decides, at each connect, whom a device's connection may talk to; keeps what it refused; notes what it trusted.

With a pinned file that is the file. Else the server is asked, without security, which certificate it will use; only one that
the trust list holds goes on, and the secured channel then proves that the server has its key. A stranger in between can
thus make us ask in vain, never talk to him.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec.structs import replace

from gatewayd.clock import Clock
from gatewayd.device.link import Note
from gatewayd.device.opcua.certificate import CERTIFICATE_BYTES_MAX, parse_certificate
from gatewayd.device.opcua.session import Shown, ask_without_security
from gatewayd.device.opcua.trust import Trust, check_security, load_trust
from gatewayd.device.opcua.trust_list import TrustList
from gatewayd.errors import DeviceError, DeviceNotTrusted, DeviceUnreachable, StoreError
from gatewayd.model.device import OpcuaDevice
from gatewayd.model.record import TrustUsed

STORAGE_DEFAULT = Path("/var/lib/gatewayd")
SHORT_FINGERPRINT = 16  # hexadecimal digits that name a certificate in a command


class Admission:
    """The trust of one device's connections.

    Args:
        device: its configuration.
        folder: what relative file names in the configuration start from.
        identity_folder: where our own certificates and the trust list live.
        clock: for validity.
    """

    def __init__(self, device: OpcuaDevice, folder: Path, identity_folder: Path, *, clock: Clock) -> None:
        self._device = device
        self._folder = folder
        self._list = TrustList(identity_folder)
        self._clock = clock
        self._noted: TrustUsed | None = None
        self._admitted = Trust(None, None, device.application_uri)
        self._version = self._list.version

    async def decide(self) -> Trust:
        """Return what the next connection proves and checks.

        Raises:
            DeviceNotTrusted: nobody trusts what the server shows, or a file is unusable.
            DeviceUnreachable, DeviceTimeout, DeviceProtocolError: the server does not say what it shows.
        """
        check_security(self._device)
        self._version = self._list.version
        trust = await asyncio.to_thread(
            load_trust, self._device, self._folder, self._list.folder, self._clock.wall_ns()
        )
        if trust.identity is not None and trust.server is None:
            shown = await ask_without_security(self._device)
            trust = await asyncio.to_thread(self._from_list, trust, shown)
        self._admitted = trust
        return trust

    async def still_holds(self, note: Note) -> bool:
        """Say whether an open session may go on: a certificate that was taken off the list ends it.

        Args:
            note: takes what it trusts into the journal, when the list changed.
        """
        server = self._admitted.server
        if server is None or self._device.server_certificate is not None:
            return True
        if self._version == self._list.version:
            return True
        self._version = self._list.version
        trusted = await asyncio.to_thread(self._list.trusted, self._device.name)
        if all(entry.certificate.der != server.der for entry in trusted):
            return False
        await self.record(note)
        return True

    async def record(self, note: Note) -> None:
        """Note whom an open session trusts and who we are to it, once per change.

        Args:
            note: takes it into the journal.
        """
        trust = self._admitted
        if trust.server is None or trust.identity is None:
            return
        pinned = self._device.server_certificate is not None
        used = TrustUsed(
            device=self._device.name,
            by="pinned" if pinned else "trust list",
            server=bytes.fromhex(trust.server.fingerprint),
            identity=bytes.fromhex(trust.identity.certificate.fingerprint),
            trusted=b"" if pinned else await asyncio.to_thread(self._list.digest, self._device.name),
        )
        if used != self._noted:
            self._noted = used
            note(used)

    async def explain(self, error: DeviceError) -> None:
        """Find out why a secured session failed: most servers only hang up or fall silent.

        Raises:
            DeviceNotTrusted: the server shows another certificate, lacks the policy, or seems not to trust us.
        """
        trust = self._admitted
        if trust.server is None or trust.identity is None:
            return
        try:
            shown = await ask_without_security(self._device)
        except DeviceError:
            return
        if shown.certificate is None:
            return
        if shown.certificate != trust.server.der:
            raise await asyncio.to_thread(self._stranger, trust, shown.certificate) from error
        self._check_policy(shown, error)
        if trust.identity.certificate.expires_ns < self._clock.wall_ns():
            raise DeviceNotTrusted(
                f"{self._device.name}: our own certificate expired on {trust.identity.certificate.expires:%Y-%m-%d}; "
                f"{error.message}",
                remedy=f"{_renewal(self._device)}; then let the server trust the new certificate.",
            ) from error
        if isinstance(error, DeviceUnreachable | DeviceNotTrusted):
            raise DeviceNotTrusted(
                f"{error.message} (the server does show the trusted certificate)",
                remedy=f"Put {trust.identity.path} into the server's trust list; check user, password and policy.",
            ) from error

    def _from_list(self, trust: Trust, shown: Shown) -> Trust:
        """Return the trust with the certificate shown, if the list holds it."""
        name = self._device.name
        if shown.certificate is None:
            raise DeviceNotTrusted(
                f"{name}: the server shows no certificate",
                remedy="Enable a security policy in the server, so that it makes or takes a certificate.",
            )
        for entry in self._list.trusted(name):
            if entry.certificate.der == shown.certificate:
                self._check_policy(shown, None)
                return replace(trust, server=entry.certificate)
        raise self._stranger(trust, shown.certificate)

    def _check_policy(self, shown: Shown, error: DeviceError | None) -> None:
        if (self._device.security, self._device.mode) in shown.policies:
            return
        offered = ", ".join(sorted(f"{policy} {mode}" for policy, mode in shown.policies))
        raise DeviceNotTrusted(
            f"{self._device.name}: the server does not offer {self._device.security} with {self._device.mode}",
            remedy=f"It says that it offers {offered}: enable the policy there, or configure one of these.",
        ) from error

    def _stranger(self, trust: Trust, der: bytes) -> DeviceNotTrusted:
        """Keep a certificate that nobody trusts, for a person to compare, and say what to do about it."""
        name = self._device.name
        try:
            certificate = parse_certificate(der[:CERTIFICATE_BYTES_MAX])
            digits = self._list.reject(name, certificate.der)
        except ValueError:
            return DeviceNotTrusted(
                f"{name}: what the server shows is no X.509 certificate", remedy="Give the server a new certificate."
            )
        except StoreError as error:
            return DeviceNotTrusted(
                f"{name}: an unknown certificate cannot be kept: {error.message}", remedy=error.remedy
            )
        if trust.server is not None and self._device.server_certificate is not None:
            kept = self._list.folder / "rejected" / f"{name}.{digits}.der"
            pin = self._folder / self._device.server_certificate
            return DeviceNotTrusted(
                f"{name}: the server shows certificate {digits}, pinned is {trust.server.fingerprint}",
                remedy=f"Compare with the server's own display; only if it is right, copy {kept} to {pin}.",
            )
        return DeviceNotTrusted(
            f"{name}: the server shows certificate {digits}, which is not in the trust list",
            remedy="Compare the fingerprint with the server's own display; only if it is right: "
            f"gatewayd trust add {digits[:SHORT_FINGERPRINT]}{self._storage_option()}",
        )

    def _storage_option(self) -> str:
        storage = self._list.folder.parent
        return "" if storage == STORAGE_DEFAULT else f" --storage {storage}"


def _renewal(device: OpcuaDevice) -> str:
    return "Renew it: gatewayd trust renew" if device.certificate is None else f"Replace {device.certificate}"
