"""Closed by default: what is not encrypted or not checked must be accepted by a named person, in so many words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gatewayd.model.config import Cloud, Journal
from gatewayd.model.device import OpcuaDevice
from gatewayd.proof.cosignature import CosignerKey
from gatewayd.proof.note import NoteError
from gatewayd.site.draft import Draft
from gatewayd.site.problem import Problem
from gatewayd.site.source import Origin

_ACCEPTED = re.compile(r"accepted-by=[^\s=][^=\n]{0,79}")
_ALLOWED = '"accepted-by=NAME"'


def check_trust(draft: Draft) -> None:
    """Check the security of every OPC UA device and of the cloud link."""
    for device, at in draft.devices.values():
        if isinstance(device, OpcuaDevice):
            for problem in _opcua(device, at, draft.folder):
                draft.findings.add(problem)
    if draft.gateway is not None:
        for problem in _journal(draft.gateway.value.journal, draft.gateway.at.child("journal")):
            draft.findings.add(problem)
    if draft.gateway is not None and draft.gateway.value.cloud is not None:
        for problem in _cloud(draft.gateway.value.cloud, draft.gateway.at.child("cloud"), draft.folder):
            draft.findings.add(problem)


def _journal(journal: Journal, at: Origin) -> Iterator[Problem]:
    for field in ("witnesses", "mirrors"):
        for place, key in enumerate(getattr(journal, field)):
            try:
                CosignerKey.parse(key)
            except NoteError as error:
                yield (
                    at.child(field)
                    .child(place)
                    .problem(
                        f"journal.{field}[{place}] cannot be used: {error.message}",
                        remedy="Copy the whole line that the witness or mirror publishes as its verifier key.",
                        found=key[:80],
                        allowed="name+hash+key, of type 0x04",
                    )
                )


def _opcua(device: OpcuaDevice, at: Origin, folder: Path) -> Iterator[Problem]:
    if (device.security == "None") != (device.mode == "None"):
        yield at.child("mode").refused(
            device.mode,
            allowed="None" if device.security == "None" else "Sign or SignAndEncrypt",
            remedy="security and mode are both None, or neither is.",
        )
    if device.security == "None":
        yield from _acceptance(
            device.insecure, at, f"{device.name} is read and written without encryption, and anybody can pose as it"
        )
    else:
        yield from _needless(device.insecure, at)
        yield from _missing_keys(device, at)
    for key in ("server_certificate", "certificate", "private_key", "password_file", *_USER_KEYS):
        yield from _file(getattr(device, key), at.child(key), folder)
    yield from _user(device, at)


def _missing_keys(device: OpcuaDevice, at: Origin) -> Iterator[Problem]:
    """Certificate and key are given together, or made by the gateway; the server is pinned, or in the trust list."""
    if (device.certificate is None) != (device.private_key is None):
        yield from _absent(device, ("certificate", "private_key"), at)


def _user(device: OpcuaDevice, at: Origin) -> Iterator[Problem]:
    """A user is a name with a password or a certificate with a key, and never shown to who listens."""
    if device.user is not None and device.password_file is None:
        yield at.child("password_file").problem(
            "device.password_file is missing; device.user needs it",
            remedy="Put the password into a file of mode 0600 and name it here.",
            found="nothing",
            allowed="a file",
        )
    if (device.user_certificate is None) != (device.user_private_key is None):
        yield from _absent(device, _USER_KEYS, at)
    named = [key for key in ("user", "user_certificate") if getattr(device, key) is not None]
    if len(named) == 2:
        yield at.child("user_certificate").problem(
            "device.user and device.user_certificate are both given; a session has one user",
            remedy="Remove user and password_file, or user_certificate and user_private_key.",
            found=str(device.user_certificate),
            allowed="one of the two",
        )
    if named and device.security == "None":
        yield at.child(named[0]).problem(
            f'device.{named[0]} needs a secured session; security = "None" would show it to everybody',
            remedy="Choose a security policy, or remove the user.",
            found=str(getattr(device, named[0])),
            allowed="a policy such as Aes256_Sha256_RsaPss",
        )


def _absent(device: OpcuaDevice, keys: tuple[str, ...], at: Origin) -> Iterator[Problem]:
    for key in keys:
        if getattr(device, key) is None:
            yield at.child(key).problem(
                f"device.{key} is missing; a certificate and its key go together",
                remedy=_KEY_REMEDIES[key],
                found="nothing",
                allowed="a file",
            )


_USER_KEYS = ("user_certificate", "user_private_key")
_KEY_REMEDIES = {
    "certificate": "Name the certificate, or leave `private_key` out, too: the gateway then makes both by itself.",
    "private_key": "Name the key that belongs to `certificate`, or leave both out: the gateway then makes them by itself.",
    "user_certificate": "Name the certificate of the user, or remove user_private_key.",
    "user_private_key": "Name the key that belongs to user_certificate, or remove that.",
}


def _cloud(cloud: Cloud, at: Origin, folder: Path) -> Iterator[Problem]:
    if not cloud.tls:
        yield from _acceptance(cloud.insecure, at, "the link to the cloud is plain MQTT")
    else:
        yield from _needless(cloud.insecure, at)
    if (cloud.certificate_file is None) != (cloud.key_file is None):
        missing = "key_file" if cloud.key_file is None else "certificate_file"
        yield at.child(missing).problem(
            f"cloud.{missing} is missing; a certificate and its key go together",
            remedy=f"Add {missing}, or remove the other.",
            found="nothing",
            allowed="a file",
        )
    for key in ("ca_file", "certificate_file", "key_file"):
        yield from _file(getattr(cloud, key), at.child(key), folder)


def _acceptance(insecure: str | None, at: Origin, risk: str) -> Iterator[Problem]:
    if insecure is None:
        yield at.child("insecure").problem(
            f"{'.'.join(map(str, at.path))}.insecure is missing: {risk}",
            remedy='Use security, or write insecure = "accepted-by=NAME" with the name of the person who accepts this.',
            found="nothing",
            allowed=_ALLOWED,
        )
    elif not _ACCEPTED.fullmatch(insecure):
        yield at.child("insecure").refused(
            insecure, allowed=_ALLOWED, remedy="Name the person who accepts that this is not protected."
        )


def _needless(insecure: str | None, at: Origin) -> Iterator[Problem]:
    if insecure is not None:
        yield at.child("insecure").problem(
            "insecure is set, but nothing here is insecure",
            remedy="Remove it, so that it does not quietly cover a later change.",
            found=insecure,
            severity="warning",
        )


def _file(name: str | None, at: Origin, folder: Path) -> Iterator[Problem]:
    """Check a file named relative to the site; an absolute path belongs to the gateway, not to who checks."""
    if name is None or PurePosixPath(name).is_absolute() or (folder / name).is_file():
        return
    yield at.refused(
        name,
        allowed="a file in the site's folder, or an absolute path on the gateway",
        remedy="Copy the file there, or correct its name.",
    )
