"""`gatewayd rules test`: what the rules and detectors of a site would have done over recorded data."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import click

from gatewayd.cli.session import json_option

if TYPE_CHECKING:
    from typing import BinaryIO

    from gatewayd.backtest.tally import Tally
    from gatewayd.cli.interrupt import Ending
    from gatewayd.cli.progress import Progress
    from gatewayd.core.site import Site


class Moment(click.ParamType[int]):
    """A time in wall ns."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return ns since 1970."""
        from gatewayd.backtest.moment import wall_ns

        try:
            return wall_ns(str(value))
        except ValueError as error:
            self.fail(f"{str(value)[:40]!r} is no time ({error}). Write 2024-05-01T12:00:00Z.", param, ctx)


class Wanted:
    """What was asked for on the command line."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.place: Path = options["place"]
        self.rules: tuple[str, ...] = options["rules"]
        self.since_ns: int = options["since_ns"] or 0
        self.until_ns: int = options["until_ns"] or 0
        self.is_held: bool = options["is_held"]
        self.skips: bool = options["skips"]
        self.pack: Path | None = options["pack"]

    @property
    def is_storage(self) -> bool:
        """Say whether the recording is a daemon's own."""
        return (self.place / "store").is_dir()

    def wants(self, rule: str) -> bool:
        """Say whether a rule is to be told."""
        return not self.rules or any(fnmatchcase(rule, pattern) for pattern in self.rules)


@click.command("test")
@click.argument("directory", metavar="SITE", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "place",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="RECORDING",
    help="A CSV file, a folder of them, a packed recording, or a daemon's storage folder.",
)
@click.option("--rule", "rules", multiple=True, metavar="ID", help="Tell of these rules only; may be a pattern.")
@click.option(
    "--since", "since_ns", type=Moment(), metavar="TIME", help="Count from then; what is before only teaches."
)
@click.option("--until", "until_ns", type=Moment(), metavar="TIME", help="Stop there.")
@click.option("--events", "with_events", is_flag=True, help="List each event, in the order of time.")
@click.option("--hold", "is_held", is_flag=True, help="A value stands until the next: nothing turns stale.")
@click.option("--skip-unknown", "skips", is_flag=True, help="Leave out CSV columns that name no tag of the site.")
@click.option(
    "--pack", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Keep the packed CSV in FILE."
)
@json_option
def backtest(directory: Path, *, with_events: bool, as_json: bool, **options: Any) -> int:
    """Run the rules and detectors of SITE over RECORDING with the very same code; tell what would have happened.

    Nothing is written to any device. Writes are assumed to succeed. The first column of a CSV is the time, each other
    is a tag, in contract units; an empty cell is no sample. Of a storage folder, the cycles that the flight recorder kept
    are repeated. Ctrl-C tells what was found so far.

    \b
    Examples:
      gatewayd rules test config/ --from may.csv
      gatewayd rules test config/ --from history/ --hold --rule 'pump_*/bearing-hot' --events
      gatewayd rules test config/ --from history/ --pack may.gwc --json
      gatewayd rules test config/ --from may.gwc --since 2024-05-02T00:00:00Z
      gatewayd rules test /etc/gatewayd --from /var/lib/gatewayd
    """
    from gatewayd.backtest.tally import Tally
    from gatewayd.cli import backtest_report
    from gatewayd.cli.interrupt import Ending
    from gatewayd.cli.progress import Progress
    from gatewayd.clock import SystemClock
    from gatewayd.errors import GatewayError

    wanted = Wanted(options)
    site = _compiled(directory, with_plans=wanted.is_storage)
    _require_rules(directory, site, wanted)
    tally = Tally(site, since_ns=wanted.since_ns, wants=wanted.wants)
    progress = Progress(SystemClock(), is_on=not as_json)
    run = backtest_report.Run()
    ending = Ending()
    try:
        (_replay if wanted.is_storage else _run)(site, wanted, tally, run, progress)
    except KeyboardInterrupt:
        ending = Ending(is_interrupted=True)
    except GatewayError as error:
        if not run.samples:
            raise
        ending = Ending(error=error)
    progress.end()
    tally.end(run.now_ns)
    _tell(site, tally, run, ending, with_events=with_events, as_json=as_json)
    return ending.exit_code


def _tell(site: Site, tally: Tally, run: Any, ending: Ending, *, with_events: bool, as_json: bool) -> None:
    from gatewayd.cli import backtest_report

    if as_json:
        import msgspec

        answer = backtest_report.fields(tally, run, with_events=with_events) | ending.fields()
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
        return
    click.echo(backtest_report.page(tally, run, with_events=with_events))
    ending.tell()


def _compiled(directory: Path, *, with_plans: bool) -> Site:
    from gatewayd.core.site import compile_site
    from gatewayd.site.digest import digests
    from gatewayd.site.load import require_site

    config = require_site(directory)
    if not with_plans:
        return compile_site(config, plan_reads=lambda device, tags, first: (), digests=digests(config))
    from gatewayd.device.build import plan_reads

    return compile_site(config, plan_reads=plan_reads, digests=digests(config))


def _require_rules(directory: Path, site: Site, wanted: Wanted) -> None:
    from gatewayd.errors import ConfigError
    from gatewayd.site.problem import listed, nearest

    known = [rule.id for rule in site.rules]
    for pattern in wanted.rules:
        if not any(fnmatchcase(rule, pattern) for rule in known):
            near = nearest(pattern, known)
            guess = f"; did you mean {near}?" if near else ""
            raise ConfigError(f"{directory} has no rule {pattern!r}{guess}", remedy=f"It has {listed(known)}.")


def _run(site: Site, wanted: Wanted, tally: Tally, run: Any, progress: Progress) -> None:
    """Run over samples, packing them first if they are CSV."""
    from gatewayd.backtest.recording import is_packed
    from gatewayd.errors import ConfigError

    try:
        if is_packed(wanted.place):
            with wanted.place.open("rb") as file:
                _over(file, site, wanted, tally, run, progress)
            return
        with wanted.pack.open("x+b") if wanted.pack else TemporaryFile() as file:
            _pack(file, site, wanted, progress)
            _over(file, site, wanted, tally, run, progress)
    except OSError as error:
        raise ConfigError(f"{wanted.pack or wanted.place}: {error.strerror}", remedy="Choose another FILE.") from error


def _pack(file: BinaryIO, site: Site, wanted: Wanted, progress: Progress) -> None:
    """Pack the CSV; half a packed file is no use to anybody."""
    from gatewayd.backtest.recording import pack_tables

    def tell(rows: int) -> None:
        progress.say(f"packing {wanted.place}: {rows} rows")

    try:
        pack_tables(wanted.place, site, file, skips=wanted.skips, progress=tell)
    except BaseException:
        if wanted.pack is not None:
            wanted.pack.unlink(missing_ok=True)
        raise


def _over(file: BinaryIO, site: Site, wanted: Wanted, tally: Tally, run: Any, progress: Progress) -> None:
    from gatewayd.backtest.columns import ColumnsFile
    from gatewayd.backtest.engine import Backtest, site_over
    from gatewayd.backtest.recording import rows_of
    from gatewayd.cli import show
    from gatewayd.compiled import load_kernels

    recording = ColumnsFile(file, str(wanted.place))
    contents = recording.contents
    rows = rows_of(recording, site, wanted.place)
    run.first_ns, run.unsampled = contents.first_ns, _unsampled(site, rows)
    run_over = Backtest(
        site_over(site, rows, contents.shapes),
        load_kernels(),
        tally,
        first_ns=contents.first_ns,
        is_held=wanted.is_held,
    )
    try:
        for chunk in recording.chunks():
            if not run_over.feed(chunk, until_ns=wanted.until_ns):
                break
            progress.say(
                f"{100 * run_over.samples // contents.samples} %, {show.at(run_over.now_ns)}, {len(tally.events)} events"
            )
        run_over.finish(wanted.until_ns or contents.last_ns)
    finally:
        run.samples, run.now_ns = run_over.samples, run_over.now_ns


def _replay(site: Site, wanted: Wanted, tally: Tally, run: Any, progress: Progress) -> None:
    """Run over the cycles that a daemon recorded, also beside the daemon."""
    from gatewayd.backtest.replay import Compatible, Replay
    from gatewayd.backtest.stored import open_recorder, recorded_site
    from gatewayd.cli import show
    from gatewayd.compiled import load_kernels
    from gatewayd.journal.blocks.sealed import inputs_of, site_digest_of

    replay = Replay(site, load_kernels(), tally)
    with open_recorder(wanted.place) as (store, blocks):
        compatible = Compatible(site, lambda digest: recorded_site(store, digest), place=str(wanted.place))
        try:
            for place, block in enumerate(blocks):
                is_same = compatible.is_same(site_digest_of(store, block))
                if not replay.feed(inputs_of(store, block), is_same=is_same, until_ns=wanted.until_ns):
                    break
                run.samples = replay.samples
                progress.say(
                    f"block {place + 1} of {len(blocks)}, {show.at(replay.now_ns)}, {len(tally.events)} events"
                )
            replay.finish()
        finally:
            run.samples, run.first_ns, run.now_ns = replay.samples, replay.first_ns, replay.now_ns
            run.notes = replay.notes()


def _unsampled(site: Site, rows: tuple[int, ...]) -> tuple[str, ...]:
    """Return the tags that programs read and the recording lacks."""
    read = {row for program in site.programme.programs for row in program.rows}
    read |= {member for plan in site.assets if plan.row in read for member in plan.members}
    read -= {plan.row for plan in site.assets}
    return tuple(site.tags[row].label for row in sorted(read - set(rows)))
