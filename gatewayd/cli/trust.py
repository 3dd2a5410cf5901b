"""`gatewayd trust`: which OPC UA servers this gateway trusts, and who it is to them. Needs no daemon and disturbs none."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click
import msgspec
from msgspec import Struct

from gatewayd.cli import show
from gatewayd.cli.session import json_option
from gatewayd.clock import SystemClock
from gatewayd.device.opcua.certificate import Certificate, KeyPair, read_certificate
from gatewayd.device.opcua.identity import own_identities, renew
from gatewayd.device.opcua.trust_list import Entry, TrustList, matching
from gatewayd.errors import RequestRefused

Standing = Literal["trusted", "rejected", "own"]
APPLICATION_URI_DEFAULT = "urn:gatewayd"

_storage_option = click.option(
    "--storage",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/gatewayd"),
    show_default=True,
    help="The daemon's storage folder.",
)


class CertificateView(Struct, frozen=True):
    """A certificate as programs read it."""

    standing: Standing
    device: str  # "" = every device; of our own, ""
    fingerprint: str
    subject: str
    issuer: str
    application_uris: tuple[str, ...]
    hosts: tuple[str, ...]
    valid_from: str
    expires: str
    path: str


@click.group()
def trust() -> None:
    """Trust OPC UA servers, and show them this gateway's own certificate.

    A server that nobody trusts gets no session; what it shows is kept as rejected. Compare its fingerprint with the
    server's own display, then add it. The running daemon takes notice by itself, with its next connect.
    """


@trust.command("list")
@_storage_option
@json_option
def list_(storage: Path, *, as_json: bool) -> None:
    """List what is trusted, what was rejected, and our own certificates.

    \b
    Examples:
      gatewayd trust list
      gatewayd trust list --storage build/station-1 --json
    """
    views = _views(storage)
    if as_json:
        click.echo(msgspec.json.encode({"certificates": views}))
        return
    if not views:
        click.echo("No certificates yet: the daemon makes its own with the first connect to a secured device.")
        return
    rows = [
        (show.state(view.standing), view.device or "-", view.fingerprint[:16], _end(view), show.clean(view.subject))
        for view in views
    ]
    click.echo(show.table(("STANDING", "DEVICE", "FINGERPRINT", "EXPIRES", "SUBJECT"), rows))


@trust.command("show")
@click.argument("fingerprint", required=False)
@_storage_option
@json_option
def show_(fingerprint: str | None, storage: Path, *, as_json: bool) -> None:
    """Show the certificate whose SHA-256 fingerprint begins with FINGERPRINT; without it, our own, for the server.

    \b
    Examples:
      gatewayd trust show              our own, with the file for the server's trust list
      gatewayd trust show 3f9a12c4
    """
    views = _views(storage)
    if fingerprint is None:
        views = [view for view in views if view.standing == "own"]
        if not views:
            raise RequestRefused(
                f"{storage} holds no certificate of our own yet",
                remedy=f"Make one: gatewayd trust renew --storage {storage}; the daemon makes it at its first connect.",
            )
    else:
        wanted = {entry.fingerprint for entry in matching(_everything(storage), fingerprint)}
        views = [view for view in views if view.fingerprint in wanted]
    if as_json:
        click.echo(msgspec.json.encode({"certificates": views}))
        return
    click.echo("\n\n".join(_page(view) for view in views))


@trust.command()
@click.argument("what", metavar="FINGERPRINT|FILE")
@click.option("--device", metavar="NAME", help="Trust it for this device only.")
@click.option("--every-device", is_flag=True, help="Trust it whichever device shows it.")
@click.option("--yes", is_flag=True, help="Do not ask; for programs.")
@_storage_option
@json_option
def add(what: str, device: str | None, storage: Path, *, every_device: bool, yes: bool, as_json: bool) -> None:
    """Trust a rejected certificate, by the beginning of its fingerprint, or one from a file.

    A rejected one is trusted for the devices whose servers showed it. A file needs --device or --every-device.

    \b
    Examples:
      gatewayd trust add 3f9a12c4
      gatewayd trust add plc_1.der --device plc_1
      gatewayd trust add 3f9a12c4 --yes --json
    """
    trust_list = TrustList(storage / "identity")
    certificate, shown_by = _wanted(what, trust_list)
    devices = _scope(device, shown_by, every_device=every_device)
    views = [_view("trusted", name, certificate, "") for name in devices]
    if not as_json:
        click.echo(_page(_view("rejected", ", ".join(shown_by), certificate, "")))
        _warn_of_dates(certificate)
    if not yes:
        _ask(f"Trust it for {', '.join(devices) if '' not in devices else 'every device'}?", as_json=as_json)
    for name in devices:
        trust_list.trust(certificate, name)
    if as_json:
        click.echo(msgspec.json.encode({"certificates": views}))
        return
    click.echo(f"Trusted {certificate.fingerprint[:16]}; the daemon uses it at its next connect.")


@trust.command()
@click.argument("fingerprint")
@click.option("--device", metavar="NAME", help="Only for this device.")
@_storage_option
@json_option
def remove(fingerprint: str, device: str | None, storage: Path, *, as_json: bool) -> None:
    """Trust a certificate no longer; or forget a rejected one.

    A session with this certificate ends with the next scan of its device.

    \b
    Examples:
      gatewayd trust remove 3f9a12c4
      gatewayd trust remove 3f9a12c4 --device plc_1
    """
    trust_list = TrustList(storage / "identity")
    trusted = matching((*trust_list.trusted(), *trust_list.rejected()), fingerprint)
    entries = [entry for entry in trusted if device is None or entry.device == device]
    if not entries:
        raise RequestRefused(f"{fingerprint} is not there for {device}", remedy="See gatewayd trust list.")
    trust_list.forget(entries)
    if as_json:
        removed = [_view(_standing(entry), entry.device, entry.certificate, str(entry.path)) for entry in entries]
        click.echo(msgspec.json.encode({"removed": removed}))
        return
    for entry in entries:
        click.echo(f"Removed {entry.fingerprint[:16]} ({_standing(entry)}, {entry.device or 'every device'}).")


@trust.command("renew")
@click.option("--application-uri", metavar="URI", help="Of which certificate, if there are several; or of a first one.")
@click.option("--yes", is_flag=True, help="Do not ask; for programs.")
@_storage_option
@json_option
def renew_(application_uri: str | None, storage: Path, *, yes: bool, as_json: bool) -> None:
    """Make a new key and certificate of our own; every server must trust the new certificate.

    Sessions that are open go on. The old pair stays beside the new one, ending in .old.

    \b
    Examples:
      gatewayd trust renew
      gatewayd trust renew --application-uri urn:gatewayd --yes
    """
    identity = storage / "identity"
    known = sorted({uri for pair in own_identities(identity) for uri in pair.certificate.application_uris})
    if application_uri is None and len(known) > 1:
        raise RequestRefused(
            f"this gateway has {len(known)} certificates: {', '.join(known)}",
            remedy="Name the one to renew with --application-uri.",
        )
    uri = application_uri or (known[0] if known else APPLICATION_URI_DEFAULT)
    if not yes and uri in known:
        _ask(
            f"Replace our certificate {uri}? Until a server trusts the new one it refuses new sessions.",
            as_json=as_json,
        )
    pair = renew(identity, uri, SystemClock().wall_ns())
    view = _view("own", "", pair.certificate, pair.path)
    if as_json:
        click.echo(msgspec.json.encode({"certificates": [view]}))
        return
    click.echo(f"{_page(view)}\n\nPut {pair.path} into the trust list of every server.")


def _views(storage: Path) -> list[CertificateView]:
    trust_list = TrustList(storage / "identity")
    entries = [*trust_list.trusted(), *trust_list.rejected()]
    own = [_view("own", "", pair.certificate, pair.path) for pair in own_identities(storage / "identity")]
    return [_view(_standing(entry), entry.device, entry.certificate, str(entry.path)) for entry in entries] + own


def _everything(storage: Path) -> list[Entry]:
    trust_list = TrustList(storage / "identity")
    return [*trust_list.trusted(), *trust_list.rejected(), *map(_as_entry, own_identities(storage / "identity"))]


def _as_entry(pair: KeyPair) -> Entry:
    return Entry("", pair.certificate, Path(pair.path))


def _standing(entry: Entry) -> Standing:
    return "rejected" if entry.path.parent.name == "rejected" else "trusted"


def _wanted(what: str, trust_list: TrustList) -> tuple[Certificate, tuple[str, ...]]:
    """Return the certificate meant, and the devices whose servers showed it."""
    if Path(what).is_file():
        certificate = read_certificate("trust add", Path(what))
        showing = [entry for entry in trust_list.rejected() if entry.fingerprint == certificate.fingerprint]
        return certificate, tuple(sorted({entry.device for entry in showing}))
    entries = matching(trust_list.rejected(), what)
    return entries[0].certificate, tuple(sorted({entry.device for entry in entries}))


def _scope(device: str | None, shown_by: tuple[str, ...], *, every_device: bool) -> tuple[str, ...]:
    if device is not None and every_device:
        raise click.UsageError("--device and --every-device exclude each other.")
    if every_device:
        return ("",)
    if device is not None:
        return (device,)
    if not shown_by or "" in shown_by:
        raise RequestRefused(
            "no device's server has shown this certificate yet",
            remedy="Say for which device it is trusted: --device NAME, or --every-device.",
        )
    return shown_by


def _ask(question: str, *, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise RequestRefused("nobody is there to ask", remedy="Compare the fingerprint, then add --yes.")
    if not click.confirm(question):
        raise RequestRefused(
            "nothing was changed", remedy="Ask who looks after the server which certificate is its own."
        )


def _warn_of_dates(certificate: Certificate) -> None:
    now = datetime.fromtimestamp(SystemClock().wall_ns() / 1e9, UTC)
    if not certificate.valid_from <= now <= certificate.expires:
        click.secho("  It is not valid today.", fg="yellow")


def _view(standing: Standing, device: str, certificate: Certificate, path: str) -> CertificateView:
    return CertificateView(
        standing=standing,
        device=device,
        fingerprint=certificate.fingerprint,
        subject=certificate.subject,
        issuer=certificate.issuer,
        application_uris=certificate.application_uris,
        hosts=certificate.hosts,
        valid_from=certificate.valid_from.isoformat(),
        expires=certificate.expires.isoformat(),
        path=path,
    )


def _end(view: CertificateView) -> str:
    return view.expires[:10]


def _page(view: CertificateView) -> str:
    digits = view.fingerprint.upper()
    halves = [":".join(digits[at : at + 2] for at in range(start, start + 32, 2)) for start in (0, 32)]
    rows = [
        ("Subject", show.clean(view.subject)),
        ("Issuer", show.clean(view.issuer)),
        ("Application", show.clean(", ".join(view.application_uris)) or "-"),
        ("Hosts", show.clean(", ".join(view.hosts)) or "-"),
        ("Valid", f"{view.valid_from[:10]} to {_end(view)}"),
        ("SHA-256", halves[0]),
        ("", halves[1]),
    ]
    if view.path:
        rows.append(("File", view.path))
    title = {"own": "Our own certificate", "trusted": "Trusted", "rejected": "Server certificate"}[view.standing]
    return f"{show.heading(title + (f' ({view.device})' if view.device else ''))}\n{show.pairs(rows)}"
