"""`gatewayd init`: this gateway's identity and keys, once."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gatewayd.cli import show
from gatewayd.cli.session import json_option


@click.command()
@click.argument("directory", metavar="[DIR]", default="/etc/gatewayd", type=click.Path(path_type=Path, file_okay=False))
@json_option
def init(directory: Path, *, as_json: bool) -> None:
    """Make the identity and keys of the gateway whose site is in DIR (default /etc/gatewayd).

    The journal key goes to the storage folder, mode 0600, unless systemd delivers one as the credential journal-key.
    An existing identity is never replaced. Give the verifier key to whoever shall verify the journal.

    \b
    Examples:
      gatewayd init config/
      sudo -u gatewayd gatewayd init /etc/gatewayd
    """
    from gatewayd.journal.keys import create_identity
    from gatewayd.site.kept import keep_site, sources_digest
    from gatewayd.site.load import require_site

    sources = sources_digest(directory)
    site = require_site(directory)
    gateway = site.gateway
    storage = Path(gateway.storage.path)
    identity, _ = create_identity(storage, gateway.gateway.name)
    keep_site(site, sources)
    if as_json:
        made = {"origin": identity.origin, "epoch": identity.epoch, "vkey": identity.vkey, "storage": str(storage)}
        click.echo(json.dumps(made))
        return
    rows = [("Origin", identity.origin), ("Storage", str(storage)), ("Verifier key", identity.vkey)]
    click.echo(f"{show.heading('This gateway has an identity.')}\n{show.pairs(rows)}")
    click.echo("Keep the verifier key outside this machine: `gatewayd journal verify --vkey KEY` checks against it.")
