"""`gatewayd journal checkpoint|cosign|rotate-key|prune`: care for the journal, with the daemon running or stopped."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from gatewayd.cli.duration import Duration
from gatewayd.cli.journal_export import store_of
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.model.view import JournalAnswer, JournalRequest

_SITE = click.Path(path_type=Path, file_okay=False, exists=True)
_NOTE_BYTES_MAX = 65_536
_DAY_S = 86_400
offline_option = click.option(
    "--offline", "site", type=_SITE, metavar="SITE", help="The daemon is stopped: work on the storage of this site."
)


@click.command("checkpoint")
@click.argument("source", metavar="SITE_OR_STORE", type=_SITE)
@click.option("--from", "old_size", type=click.IntRange(min=0), metavar="SIZE", help="What the witness knows already.")
@json_option
def checkpoint(source: Path, *, old_size: int | None, as_json: bool) -> None:
    """Print the newest signed checkpoint, for a witness. The daemon may run.

    With --from it is a whole add-checkpoint request (C2SP tlog-witness), with the proof that the witness's tree of SIZE
    records is the beginning of this one; 0 if the witness knows nothing yet.

    \b
    Examples:
      gatewayd journal checkpoint /etc/gatewayd > /media/usb/checkpoint
      gatewayd journal checkpoint /etc/gatewayd --from 12800 > request
    """
    import json

    from gatewayd.journal.care.witness import newest_note, witness_request
    from gatewayd.store.env import QUOTA_BYTES_MIN, Store

    store = Store.open(store_of(source), QUOTA_BYTES_MIN, readonly=True)
    try:
        found = newest_note(store) if old_size is None else witness_request(store, old_size)
    finally:
        store.close()
    click.echo(json.dumps({"checkpoint": found}) if as_json else found, nl=as_json)


@click.command("cosign")
@click.argument("file", type=click.File("rb"))
@offline_option
@json_option
@pass_session
def cosign(session: Session, *, file: BinaryIO, site: Path | None, as_json: bool) -> None:
    """Keep a checkpoint of this journal that came back cosigned in FILE; it is checked first.

    Whose cosignatures count stands in gateway.toml under [journal]. If the checkpoint proves that this disk is an old
    copy, the next start begins a new epoch of the journal.

    \b
    Examples:
      gatewayd journal cosign /media/usb/checkpoint
      gatewayd journal cosign checkpoint --offline /etc/gatewayd
    """
    content = file.read(_NOTE_BYTES_MAX + 1)
    if len(content) > _NOTE_BYTES_MAX:
        raise click.BadParameter(f"a checkpoint is smaller than {_NOTE_BYTES_MAX} bytes", param_hint="FILE")
    tell(ask(session, site, JournalRequest(do="cosign", note=content.decode("utf-8", "replace"))), as_json=as_json)


@click.command("rotate-key")
@offline_option
@json_option
@pass_session
def rotate_key(session: Session, *, site: Path | None, as_json: bool) -> None:
    """Hand the journal over to a new key, and erase the old one.

    A record names the new key, the checkpoint over it is signed with both, and from there on the new one alone counts:
    whoever takes the disk later cannot sign what came before. Verifier keys that were handed out stay good.

    \b
    Examples:
      gatewayd journal rotate-key
      gatewayd journal rotate-key --offline /etc/gatewayd --json
    """
    tell(ask(session, site, JournalRequest(do="rotate_key")), as_json=as_json)


@click.command("prune")
@click.option(
    "--older-than", "older_than_s", type=Duration(), required=True, metavar="TIME", help="E.g. 30d; at least 1d."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go, and what keeps the rest.")
@offline_option
@json_option
@pass_session
def prune(session: Session, *, older_than_s: float, dry_run: bool, site: Path | None, as_json: bool) -> None:
    """Remove records here that are older than TIME and that a mirror has; the hash tree above them stays.

    Whole bundles of 256 records go. What an open command, override or alarm refers to stays, and so does what people retain
    and what the mirror has not cosigned. Roots, and proofs of what stays, hold as before. gateway.toml does it every hour
    with [journal] retention_d.

    \b
    Examples:
      gatewayd journal prune --older-than 30d --dry-run
      gatewayd journal prune --older-than 90d --offline /etc/gatewayd
    """
    if older_than_s < _DAY_S:
        raise click.BadParameter("records stay for at least 1d", param_hint="--older-than")
    tell(ask(session, site, JournalRequest(do="prune", older_than_s=older_than_s, dry_run=dry_run)), as_json=as_json)


def ask(session: Session, site: Path | None, request: JournalRequest) -> JournalAnswer:
    """Return the answer of the running daemon, or, for a site whose daemon is stopped, that of its journal.

    Raises:
        GatewayError: the daemon's or the journal's.
    """
    if site is not None:
        return _asked_of_the_storage(site, request)
    from gatewayd.cli.client import Client, path_of

    return Client(session.socket_path).ask(JournalAnswer, "POST", path_of("journal"), request)[1]


def _asked_of_the_storage(site: Path, request: JournalRequest) -> JournalAnswer:
    import asyncio
    import os

    from gatewayd.clock import SystemClock
    from gatewayd.model.record import Actor
    from gatewayd.site.load import require_site
    from gatewayd.storage import Storage

    storage = Storage.open(require_site(site).gateway, SystemClock())
    try:
        actor = Actor(uid=os.getuid(), role="operator", method="offline")
        return asyncio.run(storage.care.answer(request, actor))
    finally:
        storage.close()


def tell(answer: JournalAnswer, *, as_json: bool) -> None:
    """Print an answer."""
    import msgspec

    click.echo(msgspec.json.encode(answer) if as_json else answer.message)
