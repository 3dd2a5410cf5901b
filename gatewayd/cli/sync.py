"""`gatewayd sync`: what the cloud has and what waits."""

from __future__ import annotations

import click

from gatewayd.cli import show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.model.view import StatusView, SyncView


@click.group()
def sync() -> None:
    """See what the cloud has and what waits."""


@sync.command()
@json_option
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show the link to the cloud and each stream's backlog.

    \b
    Example:
      gatewayd sync status
    """
    client = Client(session.socket_path)
    if as_json:
        click.echo(client.ask(object, "GET", path_of("sync"))[0])
        return
    found = client.ask(StatusView, "GET", path_of("status"))[1]  # brings the daemon's time along
    if found.sync is None:
        click.echo("No [cloud] table in gateway.toml: this gateway keeps everything to itself.")
    else:
        click.echo(_page(found.sync, found.now_ns))


def _page(found: SyncView, now_ns: int) -> str:
    rows = [
        ("Link", f"{show.state(found.state)} to {show.clean(found.broker)}"),
        ("Last ack", f"{show.ago(found.last_ack_ns, now_ns)} ({show.at(found.last_ack_ns)})"),
        ("Reconnects", str(found.reconnects)),
    ]
    if found.last_error:
        rows.append(("Last error", show.clean(found.last_error)))
    streams = [
        (
            show.clean(stream.name),
            str(stream.epoch),
            str(stream.head),
            str(stream.acked),
            str(stream.head - stream.acked),
            show.ago(stream.oldest_unacked_ns, now_ns) if stream.head > stream.acked else "-",
        )
        for stream in found.streams
    ]
    head = ("STREAM", "EPOCH", "HEAD", "ACKED", "WAITING", "OLDEST")
    return f"{show.pairs(rows, indent=0)}\n\n{show.table(head, streams, right=(1, 2, 3, 4))}"
