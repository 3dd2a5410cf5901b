"""`gatewayd journal`: verify it, export it. `verify` recomputes everything from bytes, offline, beside a running daemon or without one."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from gatewayd.cli import show
from gatewayd.cli.journal_care import checkpoint, cosign, prune, rotate_key
from gatewayd.cli.journal_export import export_
from gatewayd.cli.journal_redact import redact_
from gatewayd.cli.session import json_option
from gatewayd.clock import Clock, SystemClock
from gatewayd.errors import JournalDamaged
from gatewayd.journal.audit.verify import Report, verify
from gatewayd.store.redo_state import RedoState, redo_state

_SHOW_AFTER_NS = 1_000_000_000
_SHOW_EVERY_NS = 200_000_000


@click.group()
def journal() -> None:
    """Verify the journal, export it for an auditor, have it witnessed, care for it."""


journal.add_command(export_)
journal.add_command(redact_)
journal.add_command(checkpoint)
journal.add_command(cosign)
journal.add_command(rotate_key)
journal.add_command(prune)


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
    redo = redo_state(storage / "store")
    if as_json:
        told = {**msgspec.structs.asdict(report), "root": report.root.hex(), "redo": redo}
        click.echo(msgspec.json.encode(told))
        return JournalDamaged.exit_code if report.problem or redo.is_certain else 0
    click.echo(_page(report, redo))
    if report.problem is None and not redo.is_certain:
        return 0
    if report.problem is None:
        raise JournalDamaged(
            f"the redo file is damaged: {redo.words()}",
            remedy="The records that are here verify. The next start journals a gap; compare with the cloud's copy.",
        )
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


def _page(report: Report, redo: RedoState) -> str:
    sound = report.problem is None and not redo.is_certain
    verdict = (
        click.style("The journal verifies.", fg="green") if sound else click.style("NOT SOUND", fg="red", bold=True)
    )
    key = show.clean(report.vkey) + (
        "" if report.is_key_given else "  (the journal's own: give --vkey to prove authorship)"
    )
    rows = [
        ("Origin", show.clean(report.origin)),
        ("Verifier key", key),
        ("Records", f"{report.size - report.first} verified, {report.decisions} decisions, {report.outcomes} outcomes"),
        ("Root", report.root.hex()),
        ("Checkpoints", f"{report.checkpoints} signed and verified, {report.cosigned} of them cosigned"),
        ("In doubt", f"{report.in_doubt} writes without an outcome"),
    ]
    if report.first:
        rows.append(("Pruned", f"records before {report.first}; the signed roots still prove the tree over them"))
    if len(report.keys) > 1:
        rows.append(("Keys", f"{len(report.keys)}, each handed over to the next; in force: {report.keys[-1][1]}"))
    if redo.words():
        rows.append(("Redo file", click.style(redo.words(), fg="yellow")))
    if report.redacted:
        rows.append(("Redacted", f"{report.redacted} personal texts, of which the hash is left"))
    if report.evidence_missing:
        rows.append(("Evidence", f"{report.evidence_missing} slices or blocks are no longer kept"))
    return f"{show.heading(verdict)}\n{show.pairs(rows)}"
