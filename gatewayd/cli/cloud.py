"""`gatewayd cloud`: the other side of the link. Runs where the table is, not on the gateway."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gatewayd.errors import ConfigError, GatewayError
from gatewayd.model.config import Cloud

if TYPE_CHECKING:
    from gatewayd.cloud.collector import CollectorStatus
    from gatewayd.cloud.read import Report

PROGRESS_PERIOD_NS = 1_000_000_000
GATEWAYS_SHOWN = 5


@click.group()
def cloud() -> None:
    """Collect journals into a table, and check it."""


@cloud.command()
@click.option("--broker", "host", required=True, metavar="HOST", help="The MQTT 5 broker.")
@click.option("--port", type=click.IntRange(1, 65_535), default=None, help="8883 with --tls, else 1883.")
@click.option("--table", type=click.Path(path_type=Path, file_okay=False), required=True, help="Delta Lake folder.")
@click.option("--tls", is_flag=True, help="TLS 1.3.")
@click.option("--ca", type=click.Path(), help="Certificate authority of the broker, PEM.")
@click.option("--cert", type=click.Path(), help="Our client certificate, PEM.")
@click.option("--key", type=click.Path(), help="Its private key, PEM.")
@click.option("--insecure", metavar="accepted-by=NAME", help="Plain MQTT, accepted by somebody.")
@click.option(
    "--reconnect-max",
    "reconnect_max_s",
    type=click.FloatRange(1, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait between attempts to reach the broker.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def collect(
    host: str, port: int | None, table: Path, tls: bool, reconnect_max_s: float, as_json: bool, **files: str | None
) -> None:
    """Land the journals of all gateways in a Delta Lake table, each record exactly once.

    \b
    Examples:
      gatewayd cloud collect --broker mqtt.example --table lake/journal --tls --ca ca.pem --cert c.pem --key c.key
      gatewayd cloud collect --broker 127.0.0.1 --table lake/journal --insecure accepted-by=ana
    """
    with _errors_as_text(as_json):
        broker = Cloud(
            host=host,
            port=port or (8883 if tls else 1883),
            tls=tls,
            ca_file=files["ca"],
            certificate_file=files["cert"],
            key_file=files["key"],
            insecure=files["insecure"],
            reconnect_max_s=reconnect_max_s,
        )
        _require_cloud_extra()
        asyncio.run(_collect(broker, table, as_json))


@cloud.command()
@click.option("--table", type=click.Path(path_type=Path, file_okay=False), required=True, help="Delta Lake folder.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def check(table: Path, as_json: bool) -> None:
    """Count the records of a table; exit 1 when one is missing or doubled.

    \b
    Example:
      gatewayd cloud check --table lake/journal
    """
    with _errors_as_text(as_json):
        _require_cloud_extra()
        from gatewayd.cloud.read import check_table  # the gateway has no deltalake

        report = check_table(table)
    _print_report(report, as_json)
    if not report.is_exact:
        raise SystemExit(1)


async def _collect(broker: Cloud, table: Path, as_json: bool) -> None:
    from gatewayd.clock import SystemClock
    from gatewayd.cloud.collector import Collector, CollectorLimits  # the gateway has no deltalake
    from gatewayd.cloud.table import JournalTable
    from gatewayd.sync.endpoint import endpoint_of

    clock = SystemClock()
    progress = _Progress(f"broker {broker.host}:{broker.port}, table {table}", clock.monotonic_ns, as_json)
    limits = CollectorLimits(reconnect_max_ns=round(broker.reconnect_max_s * 1e9))
    collector = Collector(endpoint_of(broker), JournalTable(table), clock, limits=limits, report=progress.update)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, collector.stop)
    await collector.run()
    progress.end(collector.status())


class _Progress:
    """Prints a line when the connection changes, and at most one per second while records land."""

    def __init__(self, where: str, monotonic_ns: Callable[[], int], as_json: bool) -> None:
        self._where = where
        self._monotonic_ns = monotonic_ns
        self._as_json = as_json
        self._connected: bool | None = None
        self._quiet_until_ns = 0

    def update(self, status: CollectorStatus) -> None:
        """Print what is new, if it is time."""
        now_ns = self._monotonic_ns()
        if status.connected != self._connected:
            self._connected = status.connected
            self._print("ready" if status.connected else "waiting", status)
        elif status.connected and now_ns >= self._quiet_until_ns:
            self._quiet_until_ns = now_ns + PROGRESS_PERIOD_NS
            self._print("landed", status)

    def end(self, status: CollectorStatus) -> None:
        """Print the last line."""
        self._print("stopped", status)

    def _print(self, event: str, status: CollectorStatus) -> None:
        if self._as_json:
            click.echo(msgspec.json.encode({"event": event, **msgspec.structs.asdict(status)}).decode())
        elif event == "ready":
            click.echo(f"collector ready: {self._where}")
        elif event == "waiting":
            click.echo(f"collector waiting: {status.last_error}")
        else:
            click.echo(f"{event}: {_counts(status)}")


def _counts(status: CollectorStatus) -> str:
    shown = sorted(status.landed_by_gateway.items(), key=lambda item: -item[1])[:GATEWAYS_SHOWN]
    gateways = ", ".join(f"{gateway} {rows}" for gateway, rows in shown) or "none yet"
    text = f"{status.landed} records ({gateways})"
    refused = {
        "resent": status.duplicates,
        "out of order": status.gaps,
        "malformed": status.malformed,
        "not decodable": status.undecoded,
    }
    return text + "".join(f", {count} {what}" for what, count in refused.items() if count)


def _print_report(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
        return
    for stream in report.streams:
        click.echo(
            f"{stream.gateway} {stream.stream} epoch {stream.epoch}: {stream.rows} records up to {stream.upto},"
            f" {stream.duplicates} doubled, {stream.gaps} missing"
        )
    verdict = "exact" if report.is_exact else "NOT EXACT"
    click.echo(f"{report.rows} records, {report.duplicates} doubled, {report.gaps} missing: {verdict}")


def _require_cloud_extra() -> None:
    try:
        import deltalake  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"the cloud side needs packages that a gateway does not have: {error}",
            remedy="Run `pip install 'gatewayd[cloud]'` on this machine.",
        ) from error


@contextmanager
def _errors_as_text(as_json: bool) -> Iterator[None]:
    """Turn the project's errors into two lines (or one JSON object) on stderr and their exit code."""
    try:
        yield
    except GatewayError as error:
        if as_json:
            click.echo(msgspec.json.encode({"error": error.message, "remedy": error.remedy}).decode(), err=True)
        else:
            click.echo(f"error: {error.message}\nremedy: {error.remedy}", err=True)
        raise SystemExit(error.exit_code) from error
