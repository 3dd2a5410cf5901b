"""`gatewayd replay`: compute every recorded decision anew and compare it with the journal, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewayd.cli.session import json_option

if TYPE_CHECKING:
    from gatewayd.cli.interrupt import Ending
    from gatewayd.replay.report import Report

DIFFERENT = 1
_SEQ = click.IntRange(min=0)


@click.command("replay")
@click.argument(
    "place",
    metavar="[PLACE]",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("/var/lib/gatewayd"),
)
@click.option("--from", "first", type=_SEQ, default=0, metavar="SEQ", help="First record wanted.")
@click.option("--to", "last", type=_SEQ, default=None, metavar="SEQ", help="Last record wanted.")
@click.option(
    "--any-kernels", is_flag=True, help="Allow kernels that did not make the recording: do they decide the same?"
)
@json_option
def replay(place: Path, *, first: int, last: int | None, any_kernels: bool, as_json: bool) -> int:
    """Repeat the cycles that the flight recorder kept, and compare what they decide with the journal, bit for bit.

    PLACE is the daemon's storage folder (/var/lib/gatewayd if none is named), the store in it, a site's folder, or an
    export made with --for-replay; the daemon may run. The first difference is shown with its inputs. What cannot be
    replayed is named with its reason. Of a range, whole blocks are replayed, from the snapshot before it on.

    \b
    Exit codes:
      0  every record that could be computed anew is equal
      1  a difference was found
      3  the kernels are not those that made the recording
      4  nothing can be replayed

    \b
    Examples:
      gatewayd replay
      gatewayd replay /var/lib/gatewayd --from 12000 --to 12999
      gatewayd replay audit-2026-11 --json
      GATEWAYD_KERNELS=python gatewayd replay --any-kernels
    """
    from gatewayd.cli import replay_report
    from gatewayd.cli.interrupt import Ending
    from gatewayd.cli.journal_export import store_of
    from gatewayd.cli.progress import Progress
    from gatewayd.clock import SystemClock
    from gatewayd.compiled import load_kernels
    from gatewayd.errors import GatewayError
    from gatewayd.replay.engine import Replay
    from gatewayd.replay.source import EXPORT_NAME, open_source

    clock = SystemClock()
    progress, began_ns, ending = Progress(clock, is_on=not as_json), clock.monotonic_ns(), Ending()
    with open_source(place if (place / EXPORT_NAME).exists() else store_of(place)) as source:
        run = Replay(source, load_kernels(), progress=progress.say, any_kernels=any_kernels)
        try:
            run.run(first, last)
        except KeyboardInterrupt:
            ending = Ending(is_interrupted=True)
        except GatewayError as error:
            if not run.report.cycles:
                raise
            ending = Ending(error=error)
        finally:
            progress.end()
    took_ns = clock.monotonic_ns() - began_ns
    if as_json:
        click.echo(replay_report.as_json(run.report, ending, place=str(place), took_ns=took_ns))
    else:
        click.echo(replay_report.page(run.report, place=str(place), took_ns=took_ns))
        ending.tell()
    return _exit_code(run.report, ending)


def _exit_code(report: Report, ending: Ending) -> int:
    return DIFFERENT if report.difference is not None else ending.exit_code
