"""`gatewayd device scan opc.tcp://...`: the endpoints, policies and certificates of an OPC UA server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gatewayd.cli import show
from gatewayd.device.opcua.endpoints import ask_for_endpoints
from gatewayd.errors import ConfigError

if TYPE_CHECKING:
    from gatewayd.device.opcua.endpoints import Offer

_HEAD = ("POLICY", "MODE", "USERS", "CERTIFICATE", "URL")


def scan_endpoints(endpoint: str, timeout_ms: int, *, save: Path | None, as_json: bool) -> int:
    """Print what a server offers; return the exit code.

    Args:
        endpoint: `opc.tcp://HOST:PORT`.
        timeout_ms: for each step.
        save: where to write the server's certificate (DER), for pinning after it was compared.
        as_json: for programs.

    Raises:
        DeviceError: no OPC UA server there.
        ConfigError: nothing to save, or it cannot be written.
    """
    offer = asyncio.run(ask_for_endpoints(endpoint, timeout_ms))
    if save is not None:
        _save(offer, save)
    if as_json:
        shown = msgspec.to_builtins(offer, builtin_types=(bytes,))
        for certificate in shown["certificates"]:
            certificate["der"] = certificate["der"].hex()
        click.echo(msgspec.json.encode(shown))
    else:
        click.echo(_page(endpoint, offer, save))
    return 0


def _save(offer: Offer, path: Path) -> None:
    if len(offer.certificates) != 1:
        raise ConfigError(
            f"the server shows {len(offer.certificates)} certificates; one can be saved",
            remedy="Export the right one from the server itself.",
        )
    try:
        path.write_bytes(offer.certificates[0].der)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", remedy="Choose another FILE.") from error


def _page(endpoint: str, offer: Offer, save: Path | None) -> str:
    rows = [
        (
            show.clean(each.policy) if each.is_usable else show.faint(f"{show.clean(each.policy)} (not offered here)"),
            each.mode,
            ", ".join(each.user_tokens),
            each.certificate_sha256[:16],
            show.clean(each.url),
        )
        for each in offer.endpoints
    ]
    parts = [
        f"{show.heading(show.clean(endpoint))}   {show.clean(offer.application)}   {show.clean(offer.application_uri)}"
    ]
    parts += ["", show.table(_HEAD, rows)]
    for certificate in offer.certificates:
        parts += [
            "",
            f"{show.heading('Certificate')} {show.clean(certificate.subject)}",
            show.pairs(
                [
                    ("sha256", certificate.sha256),
                    ("application", show.clean(certificate.application_uri)),
                    ("expires", certificate.expires),
                ]
            ),
        ]
    if offer.certificates:
        where = f"It is in {save}: compare" if save else "Compare"
        parts += ["", f"{where} the fingerprint with the server's own display before you pin it (server_certificate)."]
    return "\n".join(parts)
