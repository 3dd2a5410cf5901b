"""`gatewayd device browse`: the address space of an OPC UA server as a tree, or as a tag list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from gatewayd.cli.session import json_option
from gatewayd.cli.site_names import site_and_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatewayd.cli.progress import Progress
    from gatewayd.device.opcua.browse import Browser, Node
    from gatewayd.model.config import SiteConfig
    from gatewayd.model.device import OpcuaDevice

TIME_MAX_S = 300
_LEVELS_MAX = 50


class Options(TypedDict):
    """What the command line says beside DIR and DEVICE."""

    start: str
    search: str
    depth: int
    limit: int
    to_tags: Path | None
    as_json: bool


@click.command()
@site_and_device
@click.option("--from", "start", default="i=85", metavar="NODE", help="Where to begin; default the Objects folder.")
@click.option(
    "--search", default="", metavar="TEXT", help="Only nodes whose path or node id holds TEXT, with the path."
)
@click.option("--depth", type=click.IntRange(1, _LEVELS_MAX), default=10, show_default=True, help="Levels to go down.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=5000, show_default=True, help="At most so many nodes."
)
@click.option(
    "--to-tags",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Write the variables found as a tag list.",
)
@json_option
def browse(directory: Path, name: str, **options: Unpack[Options]) -> int:
    """Show the nodes of DEVICE of the site in DIR: node id, name, type, access and value.

    The server is trusted by the same rules as in the daemon. The Server object is left out; see it with --from i=2253.
    After five minutes, at the limit, or at Ctrl-C what was found so far is shown. Nothing is written to the device.

    \b
    Examples:
      gatewayd device browse config/ scada_1
      gatewayd device browse config/ scada_1 --search level --depth 4
      gatewayd device browse config/ scada_1 --from "nsu=urn:acme;s=plant" --to-tags scada_1.tags.csv
    """
    from gatewayd.cli.interrupt import run_to_end
    from gatewayd.cli.progress import Progress
    from gatewayd.cli.site_names import require_device
    from gatewayd.clock import SystemClock
    from gatewayd.errors import ConfigError
    from gatewayd.model.device import OpcuaDevice

    config, device = require_device(directory, name)
    if not isinstance(device, OpcuaDevice):
        raise ConfigError(
            f"{name} is no OPC UA device, so it cannot tell what it has",
            remedy="Take the register list from its manual; `gatewayd device read` helps to find the byte order.",
        )
    to_tags = options["to_tags"]
    if to_tags is not None and to_tags.exists():
        raise ConfigError(f"{to_tags} exists", remedy="Choose another FILE, or move this one away first.")
    progress = Progress(SystemClock(), is_on=not options["as_json"])
    walks: list[Browser] = []
    ending = run_to_end(_walk(config, device, walks, progress, options))
    progress.end()
    nodes = walks[0].nodes if walks else []
    is_complete = bool(walks) and walks[0].is_complete and not ending.exit_code
    wanted = _matching(nodes, options["search"])
    written = _write_tags(to_tags, wanted, device) if to_tags is not None and nodes else ""
    if options["as_json"]:
        import msgspec

        answer = {"device": name, "complete": is_complete, "found": len(nodes), "nodes": wanted, "written": written}
        click.echo(msgspec.json.encode({**answer, **ending.fields()}))
        return ending.exit_code
    if to_tags is None and wanted:
        click.echo(_list(wanted) if options["search"] else _tree(nodes))
    click.echo(_summary(nodes, wanted, written, is_complete=is_complete), err=to_tags is None)
    ending.tell()
    return ending.exit_code


async def _walk(
    config: SiteConfig, device: OpcuaDevice, walks: list[Browser], progress: Progress, options: Options
) -> None:
    """Browse; the walk is in `walks` from its begin on, so that Ctrl-C leaves what it has found."""
    import asyncio

    from gatewayd.clock import SystemClock
    from gatewayd.device.opcua.browse import Browser
    from gatewayd.device.opcua.link import OpcuaLink

    identity_folder = Path(config.gateway.storage.path) / "identity"
    link = OpcuaLink(device, (), (), SystemClock(), Path(config.folder), identity_folder)
    progress.say("connecting")
    try:
        await link.connect()
        walk = Browser(
            link.session,
            depth_max=options["depth"],
            nodes_max=options["limit"],
            progress=lambda found: progress.say(f"{found} nodes found"),
        )
        walks.append(walk)
        try:
            async with asyncio.timeout(TIME_MAX_S):
                await walk.run(options["start"])
        except TimeoutError:
            walk.is_complete = False
    finally:
        await link.close()


def _matching(nodes: Sequence[Node], text: str) -> list[Node]:
    wanted = text.casefold()
    return [node for node in nodes if wanted in f"{'/'.join(node.path)} {node.node_id}".casefold()]


def _write_tags(path: Path, nodes: Sequence[Node], device: OpcuaDevice) -> str:
    from gatewayd.device.opcua.found_tags import tag_list
    from gatewayd.errors import ConfigError
    from gatewayd.site.tag_import import slowest_scan_class

    text, count, left_out = tag_list(nodes, slowest_scan_class(device))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", remedy="Choose another FILE.") from error
    return f"{path}: {count} tags; {left_out} variables left out (arrays, texts, structures, or not readable)"


def _tree(nodes: Sequence[Node]) -> str:
    """Return the nodes with their children below them; they come level by level."""
    from gatewayd.cli import show

    children: dict[int, list[int]] = {}
    for at, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(at)
    rows = []
    waiting = list(reversed(children.get(-1, [])))
    while waiting:
        at = waiting.pop()
        waiting += reversed(children.get(at, []))
        node = nodes[at]
        rows.append(("  " * (node.depth - 1) + show.clean(node.name), *_cells(node)))
    return show.table(("NODE", "TYPE", "ACCESS", "VALUE", "NODE ID"), rows)


def _list(nodes: Sequence[Node]) -> str:
    from gatewayd.cli import show

    rows = [(" / ".join(show.clean(part) for part in node.path), *_cells(node)) for node in nodes]
    return show.table(("PATH", "TYPE", "ACCESS", "VALUE", "NODE ID"), rows)


def _cells(node: Node) -> tuple[str, str, str, str]:
    from gatewayd.cli import show

    value = show.clean(node.value)
    value = value if len(value) <= 24 else f"{value[:23]}…"
    if node.is_variable and node.status != "Good":
        value = show.state(node.status)
    return (node.type, node.access, value, show.clean(node.node_id))


def _summary(nodes: Sequence[Node], wanted: Sequence[Node], written: str, *, is_complete: bool) -> str:
    said = f"{len(nodes)} nodes"
    if len(wanted) != len(nodes):
        said = f"{len(wanted)} of {said}"
    if not is_complete:
        said += "; there may be more: raise --depth or --limit, or begin further down with --from"
    return f"{said}\n{written}" if written else said
