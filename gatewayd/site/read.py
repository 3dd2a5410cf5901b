"""Reads a site's files into a draft: every file, every table, every row, whatever else is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, cast, get_args

from msgspec import Struct

from gatewayd.model.config import Asset, AssetType, GatewayFile, Point, Rule
from gatewayd.model.device import Device
from gatewayd.site.draft import Draft, Located
from gatewayd.site.folder import Folder
from gatewayd.site.problem import Problem, listed, nearest
from gatewayd.site.shape import Fitter
from gatewayd.site.source import Origin, Source
from gatewayd.site.tag_list import TAGS_MAX, read_tag_list

T = TypeVar("T", bound=Struct)


def read_site(draft: Draft) -> None:
    """Read `draft.folder` into the draft; problems go to its findings."""
    folder = Folder(draft.folder, draft.findings)
    folder.check_entries()
    if (source := folder.read("gateway.toml")) and (table := folder.parse(source)) is not None:
        gateway = Fitter(draft.findings).fit(table, GatewayFile, Origin(source))
        draft.gateway = None if gateway is None else Located(gateway, Origin(source))
    for source, table in folder.toml_files("devices"):
        _read_device(draft, folder, source, table)
    for source, table in folder.toml_files("twins"):
        _read_twins(draft, source, table)
    for source, table in folder.toml_files("policies"):
        _read_policies(draft, source, table)
    _warn_of_unread_lists(draft)


def _read_device(draft: Draft, folder: Folder, source: Source, table: dict[str, object]) -> None:
    at = Origin(source, ("device",))
    _check_tables(draft, source, table, ("device",))
    raw = table.get("device")
    if raw is None:
        draft.findings.add(
            at.problem("the file has no [device] table", remedy="Add [device] with its protocol and name.")
        )
        return
    fitter = Fitter(draft.findings)
    device = cast("Device | None", fitter.fit_tagged(raw, get_args(Device), at))
    if device is None:
        name = raw.get("name") if isinstance(raw, dict) else None
        draft.broken.add(f"device {name}")
        return
    if device.name in draft.devices:
        first = draft.devices[device.name].at
        _twice(draft, at.child("name"), f"device {device.name}", first)
        return
    draft.devices[device.name] = Located(device, at)
    _read_tags(draft, folder, device, at)


def _read_tags(draft: Draft, folder: Folder, device: Device, at: Origin) -> None:
    part, _, file = at.source.name.rpartition("/")
    name = device.tags or f"{file.removesuffix('.toml')}.tags.csv"
    if "/" in name or name.startswith("."):
        draft.findings.add(
            at.child("tags").refused(name, allowed="a file beside this one", remedy="Write the file's name, no folder.")
        )
        return
    source = folder.read(f"{part}/{name}")
    if source is None:
        draft.broken.add(f"device {device.name}")  # its tags are unknown for a reason already given
        return
    room = TAGS_MAX - sum(map(len, draft.tags.values()))
    tag_list = read_tag_list(source, device, draft.findings, tags_max=room)
    rows = draft.tags[device.name] = {}
    for row in tag_list.rows:
        if row.tag.name in rows:
            _twice(draft, row.at.child("name"), f"tag {row.tag.name}", rows[row.tag.name].at)
        else:
            rows[row.tag.name] = row
    draft.broken.update(f"tag {device.name}/{name}" for name in tag_list.broken)
    if not tag_list.rows and not tag_list.broken:
        draft.broken.add(f"device {device.name}")


def _read_twins(draft: Draft, source: Source, table: dict[str, object]) -> None:
    _check_tables(draft, source, table, ("asset_type", "asset"))
    for name, located in _named(draft, source, table, "asset_type", AssetType).items():
        asset_type, at, fitter = located
        if name in draft.asset_types:
            _twice(draft, at, f"asset type {name}", draft.asset_types[name].at)
            continue
        draft.asset_types[name] = Located(asset_type, at)
        places = fitter.kept.get(at.child("rule").path, [])
        draft.type_rules[name] = [
            Located(rule, at.child("rule", place)) for rule, place in zip(asset_type.rule, places, strict=True)
        ]
    for name, (asset, at, _) in _named(draft, source, table, "asset", Asset).items():
        if name in draft.assets:
            _twice(draft, at, f"asset {name}", draft.assets[name].at)
        else:
            draft.assets[name] = Located(asset, at)


def _named(
    draft: Draft, source: Source, table: dict[str, object], key: str, kind: type[T]
) -> dict[str, tuple[T, Origin, Fitter]]:
    """Fit the tables `[KEY.NAME]` of a file; those that fail are remembered as broken."""
    raw = table.get(key, {})
    at = Origin(source, (key,))
    if not isinstance(raw, dict):
        draft.findings.add(at.refused(raw, allowed="a table", remedy=f"Write [{key}.NAME]."))
        return {}
    fitted = {}
    what = "type" if key == "asset_type" else "asset"
    for name, part in raw.items():
        fitter = Fitter(draft.findings)
        value = fitter.fit(part, kind, at.child(name)) if _is_name(draft, name, at) else None
        if value is None:
            draft.broken.add(f"{what} {name}")
        else:
            fitted[name] = (value, at.child(name), fitter)
            inside = at.child(name, "tags").path
            lost = {str(path[-1]) for path in fitter.lost if path[:-1] == inside}
            draft.broken_members[f"{what} {name}"] = lost
    return fitted


def _is_name(draft: Draft, name: str, at: Origin) -> bool:
    if name.replace("_", "a").replace("-", "a").isalnum() and name[0].isalpha() and name.isascii() and len(name) <= 64:
        return True
    draft.findings.add(
        at.child(name).refused(
            name, allowed="a letter, then letters, digits, _ or -, at most 64 characters", remedy="Rename it."
        )
    )
    return False


def _read_policies(draft: Draft, source: Source, table: dict[str, object]) -> None:
    _check_tables(draft, source, table, ("point", "rule"))
    draft.points += _listed(draft, source, table, "point", Point)
    draft.rules += _listed(draft, source, table, "rule", Rule)


def _listed(draft: Draft, source: Source, table: dict[str, object], key: str, kind: type[T]) -> list[Located[T]]:
    """Fit the tables `[[KEY]]` of a file."""
    raw = table.get(key, [])
    at = Origin(source, (key,))
    if not isinstance(raw, list):
        draft.findings.add(at.refused(raw, allowed="an array of tables", remedy=f"Write [[{key}]] with two brackets."))
        return []
    fitter = Fitter(draft.findings)
    fitted = [(fitter.fit(part, kind, at.child(index)), at.child(index)) for index, part in enumerate(raw)]
    return [Located(value, place) for value, place in fitted if value is not None]


def _check_tables(draft: Draft, source: Source, table: dict[str, object], known: tuple[str, ...]) -> None:
    for key in table:
        if key in known:
            continue
        near = nearest(key, known)
        guess = f"; did you mean {near}?" if near else ""
        draft.findings.add(
            Origin(source, (key,)).problem(
                f"there is no table {key} in this kind of file{guess}",
                remedy=f"Write {near} instead." if near else f"Remove it; the tables here are {listed(known)}.",
                found=key,
                allowed=listed(known),
                near=near,
            )
        )


def _twice(draft: Draft, at: Origin, what: str, first: Origin) -> None:
    line = first.row or first.source.line_of(first.path)
    draft.findings.add(
        at.problem(
            f"{what} stands twice; the first is in {first.source.name}:{line}",
            remedy="Rename or remove one of the two.",
            found=what,
        )
    )


def _warn_of_unread_lists(draft: Draft) -> None:
    """Warn of tag lists that no device names: a renamed device file would silently lose its tags."""
    folder = draft.folder / "devices"
    if not folder.is_dir():
        return
    read = set()
    for device in draft.devices.values():
        stem = Path(device.at.source.name).name.removesuffix(".toml")
        read.add(device.value.tags or f"{stem}.tags.csv")
    stems = {path.name.removesuffix(".toml") for path in folder.glob("*.toml")}
    for path in sorted(folder.glob("*.csv")):
        if path.name not in read and path.name.removesuffix(".tags.csv") not in stems:
            draft.findings.add(
                Problem(
                    file=f"devices/{path.name}",
                    message=f"no device reads {path.name}",
                    remedy=f'Name it like its device\'s file, or set tags = "{path.name}" there.',
                    severity="warning",
                )
            )
