"""`gatewayd tags import` and `export`: tag lists from and for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewayd.cli.session import json_option
from gatewayd.cli.site_names import site_and_device

if TYPE_CHECKING:
    from gatewayd.model.device import Device
    from gatewayd.site.tag_import import Imported, Options

_FILE = click.Path(path_type=Path, dir_okay=False)
_PROBLEMS_SHOWN = 50


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--device",
    "device_file",
    required=True,
    type=_FILE,
    metavar="DIR/devices/NAME.toml",
    help="Whose tags they become.",
)
@click.option("--out", type=_FILE, help="Write the tag list to FILE; else it is printed.")
@click.option("--skip-bad", is_flag=True, help="Write the good rows although others have problems.")
@click.option(
    "--default",
    "defaults",
    multiple=True,
    metavar="KEY=VALUE",
    help="What the list leaves out: byte_order=CDAB, register_type=holding, scan_class=slow, access=keep.",
)
@json_option
def import_(
    file: Path, *, device_file: Path, out: Path | None, skip_bad: bool, defaults: tuple[str, ...], as_json: bool
) -> int:
    """Turn FILE, a CSV export of another tool, into a tag list.

    Read are exports of KEPServerEX, lists for Modbus Poll or ModScan, UaExpert's data access view, PLC tags of TIA Portal,
    and lists made by hand: columns are known by their headers, in any order. Separator, encoding and decimal commas are
    found. Every row that cannot be taken is listed with its remedy, and then nothing is written. Imported tags are
    read-only unless `--default access=keep` is given.

    \b
    Examples:
      gatewayd tags import kepware.csv --device devices/plc_1.toml
      gatewayd tags import list.csv --device devices/plc_1.toml --out devices/plc_1.tags.csv
      gatewayd tags import list.csv --device devices/plc_1.toml --default byte_order=CDAB --skip-bad
    """
    from gatewayd.cli.progress import Progress
    from gatewayd.clock import SystemClock
    from gatewayd.errors import ConfigError
    from gatewayd.site.device_file import read_device_file
    from gatewayd.site.tag_import import import_tags
    from gatewayd.site.tag_sheet import SHEET_BYTES_MAX

    if out is not None and out.exists():
        raise ConfigError(f"{out} exists", remedy="Choose another FILE, or move this one away first.")
    device = read_device_file(device_file)
    with file.open("rb") as source:
        content = source.read(SHEET_BYTES_MAX + 1)
    progress = Progress(SystemClock(), is_on=not as_json)
    found = import_tags(content, file.name, device, _options(device, defaults), progress.say)
    progress.end()
    is_taken = bool(found.tags) and (not found.problems or skip_bad)
    if is_taken and out is not None:
        _write(out, found.text)
    if as_json:
        _print_json(found, out, is_taken=is_taken)
    else:
        _print(file, found, out, is_taken=is_taken)
    return 0 if is_taken else 1


def _options(device: Device, defaults: tuple[str, ...]) -> Options:
    from typing import get_args

    from gatewayd.model.device import ByteOrder, RegisterType
    from gatewayd.site.tag_import import Options

    allowed = {"byte_order": get_args(ByteOrder), "register_type": get_args(RegisterType), "access": ("keep", "r")}
    allowed["scan_class"] = tuple(device.scan_classes)
    given = {}
    for text in defaults:
        key, _, value = text.partition("=")
        if key not in allowed or value not in allowed[key]:
            choices = "; ".join(f"{name}={'|'.join(values)}" for name, values in allowed.items())
            raise click.BadParameter(f"{text!r} is none of {choices}", param_hint="--default")
        given[key] = value
    return Options(
        byte_order=given.get("byte_order", ""),
        register_type=given.get("register_type", ""),
        scan_class=given.get("scan_class", ""),
        keep_access=given.get("access") == "keep",
    )


def _write(path: Path, text: str) -> None:
    from gatewayd.errors import ConfigError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", remedy="Choose another FILE.") from error


def _print(file: Path, found: Imported, out: Path | None, *, is_taken: bool) -> None:
    """Print the list, and beside it, on the error stream, what a person must know."""
    from gatewayd.site.problem import describe

    if is_taken and out is None:
        click.echo(found.text, nl=False)
    for problem in found.problems[:_PROBLEMS_SHOWN]:
        click.echo(describe(problem), err=True)
    if len(found.problems) > _PROBLEMS_SHOWN:
        click.echo(f"... and {len(found.problems) - _PROBLEMS_SHOWN} more; --json lists them all", err=True)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    where = f"written to {out}" if is_taken and out else "printed" if is_taken else "nothing written"
    click.echo(f"{file}: {found.rows} rows, {len(found.tags)} tags, {len(found.problems)} problems; {where}", err=True)
    if not is_taken and found.tags:
        click.echo("Mend the rows, or take the good ones with --skip-bad.", err=True)


def _print_json(found: Imported, out: Path | None, *, is_taken: bool) -> None:
    import msgspec

    answer = {
        "rows": found.rows,
        "tags": found.tags if is_taken else (),
        "problems": found.problems,
        "notes": found.notes,
        "written": str(out) if is_taken and out else "",
    }
    click.echo(msgspec.json.encode(answer))


@click.command()
@site_and_device
@click.option(
    "--format",
    "to",
    type=click.Choice(["gatewayd", "kepware", "uaexpert"]),
    default="gatewayd",
    show_default=True,
    help="Whose CSV to write.",
)
@click.option("--out", type=_FILE, help="Write to FILE; else it is printed.")
@json_option
def export(directory: Path, name: str, *, to: str, out: Path | None, as_json: bool) -> None:
    """Print the tag list of DEVICE of the site in DIR for another tool.

    KEPServerEX keeps the byte order per device, so it is not in its list.

    \b
    Examples:
      gatewayd tags export config/ plc_1
      gatewayd tags export config/ plc_1 --format kepware --out plc_1.csv
    """
    import json

    from gatewayd.cli.site_names import require_device
    from gatewayd.site.tag_export import export_tags

    config, device = require_device(directory, name)
    text = export_tags(device, config.tags[name], to)
    if out is not None:
        _write(out, text)
    if as_json:
        answer = {"device": name, "format": to, "tags": len(config.tags[name]), "written": str(out or "")}
        click.echo(json.dumps(answer if out else {**answer, "csv": text}))
    elif out is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"wrote {out}: {len(config.tags[name])} tags")
