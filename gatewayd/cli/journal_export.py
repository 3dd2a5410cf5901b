"""`gatewayd journal export`: a folder that an auditor verifies offline, with or without this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatewayd.cli import show
from gatewayd.cli.session import json_option

if TYPE_CHECKING:
    from gatewayd.journal.export.export import Exported

_DATA_NAME = "data.mdb"  # what marks a folder as a store


@click.command("export")
@click.argument("source", metavar="SITE_OR_STORE", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--from", "first", type=click.IntRange(min=0), default=0, metavar="SEQ", help="First record wanted.")
@click.option("--to", "last", type=click.IntRange(min=0), default=None, metavar="SEQ", help="Last record wanted.")
@click.option("--with-personal", is_flag=True, help="Names and reasons too; else only their salted hashes leave.")
@click.option(
    "--for-replay",
    is_flag=True,
    help="Inputs, snapshots and configurations too, for `gatewayd replay DIR`.",
)
@click.option("--vkey", metavar="KEY", help="The verifier key that `gatewayd init` printed.")
@json_option
def export_(source: Path, directory: Path, *, vkey: str | None, as_json: bool, **wanted: Any) -> None:
    """Write the journal of SITE_OR_STORE to the new folder DIR, for an auditor.

    SITE_OR_STORE is the site's folder, the daemon's storage folder or the store in it; the daemon may run. Records,
    hash tree, checkpoint, a proof per decision and outcome, evidence, lineage, and two verifiers with a page that says
    how to use them. The journal is verified on the way: a bad record ends the export, and nothing is left of it. A range
    is widened to whole bundles of 256 records.

    \b
    Examples:
      gatewayd journal export /etc/gatewayd audit-2026-11
      gatewayd journal export /etc/gatewayd audit-2026-11 --for-replay
      gatewayd journal export /var/lib/gatewayd audit --from 12000 --to 12999 --json
    """
    import msgspec

    from gatewayd.cli.progress import Progress
    from gatewayd.clock import SystemClock
    from gatewayd.journal.export.export import Request, export

    progress = Progress(SystemClock(), is_on=not as_json)
    request = Request(folder=directory, vkey=vkey, **wanted)  # first, last, with_personal, for_replay
    try:
        made = export(store_of(source), request, progress=lambda done, total: progress.say(_share(done, total)))
    finally:
        progress.end()
    if as_json:
        click.echo(msgspec.json.encode({"directory": str(directory), **msgspec.structs.asdict(made)}))
    else:
        click.echo(_page(made, directory, is_key_given=vkey is not None))


def store_of(source: Path) -> Path:
    """Return the folder of the store that a site, a storage folder or the store itself names.

    Raises:
        ConfigError: the site cannot be used.
    """
    if (source / _DATA_NAME).exists():
        return source
    if (source / "gateway.toml").exists():
        from gatewayd.site.load import require_site

        return Path(require_site(source).gateway.storage.path) / "store"
    return source / "store"


def _share(done: int, total: int) -> str:
    return f"  {done} of {total} steps ({100 * done // max(1, total)} %)"


def _page(made: Exported, directory: Path, *, is_key_given: bool) -> str:
    key = show.clean(made.vkey) + ("" if is_key_given else "  (the journal's own: give --vkey to prove authorship)")
    rows = [
        ("Origin", show.clean(made.origin)),
        ("Verifier key", key),
        ("Records", f"{made.first} to {made.end - 1} of {made.size} under the signed checkpoint"),
        ("Proofs", f"{made.decisions} decisions, {made.outcomes} outcomes"),
        ("Evidence", _evidence(made)),
        ("Personal", f"{made.personal} names and reasons in plain" if made.personal else "salted hashes only"),
        ("Replay", _replay(made, directory)),
        ("Verify", f"python3 {directory / 'verify_export.py'} {directory} --vkey KEY"),
    ]
    return f"{show.heading(f'Exported to {directory}.')}\n{show.pairs(rows)}"


def _replay(made: Exported, directory: Path) -> str:
    if not made.replay:
        return "not with these files: --for-replay adds what it needs"
    missing = f"; {made.replay_missing} more have expired" if made.replay_missing else ""
    return f"gatewayd replay {directory}  ({made.replay} blocks, snapshots and configurations{missing})"


def _evidence(made: Exported) -> str:
    missing = f"; {made.evidence_missing} records cite a slice that is no longer kept" if made.evidence_missing else ""
    return f"{made.evidence} slices{missing}"
