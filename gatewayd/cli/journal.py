"""`gatewayd journal`: verify it, export it. `verify` recomputes everything from bytes, offline, beside a running daemon or without one."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from gatewayd.cli import show
from gatewayd.cli.journal_export import export_
from gatewayd.cli.journal_redact import redact_
from gatewayd.cli.session import json_option
from gatewayd.clock import Clock, SystemClock
from gatewayd.errors import JournalDamaged
from gatewayd.journal.verify import Report, verify

_SHOW_AFTER_NS = 1_000_000_000
_SHOW_EVERY_NS = 200_000_000


@click.group()
def journal() -> None:
    """Verify the journal, or export it for an auditor, offline; take names out of it."""


journal.add_command(export_)
journal.add_command(redact_)


@journal.command("verify")
@click.option(
    "--storage",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/gatewayd"),
    show_default=True,
    help="The daemon's storage folder.",
)
@click.option("--vkey", metavar="KEY", help="The verifier key that `gatewayd init` printed.")
@json_option
def verify_(storage: Path, *, vkey: str | None, as_json: bool) -> int:
    """Recompute every record, the tree, the signed checkpoints and the evidence from their bytes.

    Exit code 0 if all of it holds; 6 if not, naming the first bad record. Without --vkey the journal's own key is
    taken: that proves that nothing was altered since, not who wrote it.

    \b
    Examples:
      gatewayd journal verify --vkey "$(cat verifier.key)"
      gatewayd journal verify --storage /mnt/card/gatewayd --json
    """
    progress = _Progress(SystemClock()) if sys.stderr.isatty() and not as_json else None
    report = verify(storage / "store", vkey, progress=progress.show if progress else None)
    if progress:
        progress.end()
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.structs.asdict(report), "root": report.root.hex()}))
        return JournalDamaged.exit_code if report.problem else 0
    click.echo(_page(report))
    if report.problem is None:
        return 0
    raise JournalDamaged(
        f"record {report.problem.seq} ({report.problem.kind}) is bad: {report.problem.what}",
        remedy="Keep this disk as it is, copy it, and compare with the cloud's copy; records before it verified.",
    )


class _Progress:
    """One line on the terminal that overwrites itself, once verifying takes more than a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_ns = clock.monotonic_ns() + _SHOW_AFTER_NS
        self._is_shown = False

    def show(self, done: int, total: int) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _SHOW_EVERY_NS
        self._is_shown = True
        click.echo(f"\r  {done} of {total} records ({100 * done // max(1, total)} %)", nl=False, err=True)

    def end(self) -> None:
        if self._is_shown:
            click.echo("\r" + " " * 60 + "\r", nl=False, err=True)


def _page(report: Report) -> str:
    sound = report.problem is None
    verdict = (
        click.style("The journal verifies.", fg="green") if sound else click.style("NOT SOUND", fg="red", bold=True)
    )
    key = show.clean(report.vkey) + (
        "" if report.is_key_given else "  (the journal's own: give --vkey to prove authorship)"
    )
    rows = [
        ("Origin", show.clean(report.origin)),
        ("Verifier key", key),
        ("Records", f"{report.size} verified, {report.decisions} decisions, {report.outcomes} outcomes"),
        ("Root", report.root.hex()),
        ("Checkpoints", f"{report.checkpoints} signed and verified"),
        ("In doubt", f"{report.in_doubt} writes without an outcome"),
    ]
    if report.redacted:
        rows.append(("Redacted", f"{report.redacted} personal texts, of which the hash is left"))
    if report.evidence_missing:
        rows.append(("Evidence", f"{report.evidence_missing} slices or blocks are no longer kept"))
    return f"{show.heading(verdict)}\n{show.pairs(rows)}"
