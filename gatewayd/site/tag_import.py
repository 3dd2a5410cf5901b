"""Tag lists of other tools into ours. Every row that cannot be taken is a problem that names the row and the cure.

A row becomes the cells of our own tag list, and our own reader judges them: there is one truth about what a tag is. The
cells stand at the same line as in the source, so the reader's messages point at the right row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from gatewayd.errors import ConfigError
from gatewayd.model.device import Device, ModbusDevice, ModbusTag, OpcuaTag, Tag
from gatewayd.site import tag_synonyms
from gatewayd.site.problem import Findings, Problem
from gatewayd.site.source import Origin, Source
from gatewayd.site.tag_list import COLUMNS, TAGS_MAX, read_tag_list
from gatewayd.site.tag_place import Place, PlaceError, modbus_place, opcua_node
from gatewayd.site.tag_sheet import Sheet, read_sheet
from gatewayd.site.tag_synonyms import column_of, folded

NAME_MAX = 64
PROGRESS_ROWS = 1000
_BITS = ("coil", "discrete")
_COMMA_NUMBER = re.compile(r"[-+]?[0-9]+,[0-9]+([eE][-+]?[0-9]+)?")
_NUMBERS = ("scale", "offset", "+raw_low", "+raw_high", "+scaled_low", "+scaled_high")
_TRUE = ("1", "true", "yes", "x")
_DIGITS = 12  # of a scale computed from a range: 0.1 stays 0.1


class Options(Struct, frozen=True, kw_only=True):
    """What a list may leave out.

    Args:
        byte_order: of types of several registers; most tools keep it per device, outside the list.
        register_type: of plain addresses.
        scan_class: of rows that name none; empty: the device's `default`, or its slowest if it has no such class.
        keep_access: take over rw and w; else everything is read-only, which is where a new site should begin.
    """

    byte_order: str = ""
    register_type: str = ""
    scan_class: str = ""
    keep_access: bool = False


class Imported(Struct, frozen=True, kw_only=True):
    """What became of a list.

    Args:
        text: our tag list of the good rows, CSV.
        tags: the same, read.
        rows: how many rows the source has.
        problems: of the other rows; the line is the source's.
        notes: what a person should know, e.g. columns that were not used.
    """

    text: str
    tags: tuple[Tag, ...]
    rows: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


class RowProblem(Exception):
    """Why a row cannot become a tag."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def slowest_scan_class(device: Device) -> str:
    """Return the class of tags that name none: empty where `default` will do, else the slowest, which harms nobody."""
    if "default" in device.scan_classes:
        return ""
    return max(device.scan_classes, key=lambda name: device.scan_classes[name].scan_rate_ms)


def import_tags(
    content: bytes, name: str, device: Device, options: Options, progress: Callable[[str], None] = lambda _: None
) -> Imported:
    """Read a list of another tool, or our own.

    Args:
        content: of the file.
        name: of the file, for messages.
        device: decides the columns, the address base and the scan classes.
        options: what the list leaves out.
        progress: told how far it is.

    Raises:
        ConfigError: the file holds no table that can be understood.
    """
    sheet = read_sheet(content, name)
    columns = _columns(sheet, name)
    findings = Findings()
    drafts: dict[int, dict[str, str]] = {}
    source = Source(name, "")
    scan_class = options.scan_class or slowest_scan_class(device)
    for place, (line, cells) in enumerate(sheet.rows[:TAGS_MAX]):
        if place % PROGRESS_ROWS == 0:
            progress(f"row {place} of {len(sheet.rows)}")
        texts = {column: cell for column, cell in zip(columns, cells, strict=False) if column and cell}
        try:
            drafts[line] = {"scan_class": scan_class} if scan_class else {}
            drafts[line].update(_draft(texts, device, options))
        except (RowProblem, PlaceError) as problem:
            del drafts[line]
            message = f"row {line}: {problem.message}"
            findings.add(Origin(source, (f"row {line}",), line).problem(message, remedy=problem.remedy))
    _check_names(drafts, source, findings)
    progress(f"checking {len(drafts)} tags")
    good = _judge(drafts, name, device, findings)
    kept = {line: drafts[line] for line in good}
    return Imported(
        text=_written(kept.values(), device),
        tags=tuple(good.values()),
        rows=len(sheet.rows),
        problems=findings.all(),
        notes=tuple(_notes(sheet, columns, list(kept.values()), scan_class)),
    )


def _columns(sheet: Sheet, name: str) -> list[str | None]:
    """Return our column for each of the sheet's; the first of two that mean the same wins."""
    seen: set[str] = set()
    columns: list[str | None] = []
    for header in sheet.header:
        column = column_of(header)
        columns.append(None if column is None or column in seen else column)
        seen.add(column or "")
    if "name" not in seen:
        raise ConfigError(
            f"{name}, row {sheet.header_row}: no column holds names; the columns are {', '.join(sheet.header)[:200]}",
            remedy="Call the column with the tags' names `name`.",
        )
    return columns


def _draft(texts: dict[str, str], device: Device, options: Options) -> dict[str, str]:
    """Return the cells of our tag list for a row.

    Raises:
        RowProblem, PlaceError.
    """
    if "name" not in texts:
        raise RowProblem("the name is empty", "Give the row a name, or remove it.")
    for column in _NUMBERS:
        if column in texts and _COMMA_NUMBER.fullmatch(texts[column]):
            texts[column] = texts[column].replace(",", ".")
    draft: dict[str, str] = {
        column: texts[column] for column in ("units", "description", "scan_class") if column in texts
    }
    draft["units"] = tag_synonyms.UNITS_SPELLED.get(draft.get("units", ""), draft.get("units", ""))
    draft["name"] = _name(texts["name"])
    if draft["name"] != texts["name"]:
        draft.setdefault("description", texts["name"])
    draft.update(_scaling(texts))
    if isinstance(device, ModbusDevice):
        place = modbus_place(texts, device.address_base, options.register_type)
        draft.update(_registers(texts, place, options))
    else:
        draft["node_id"] = opcua_node(texts)
        place = Place("", "", "")
        if "type" in texts:
            draft["type"] = _type(texts["type"]).type
    if options.keep_access and "access" in texts and place.register_type not in ("input", "discrete") and not place.bit:
        draft["access"] = tag_synonyms.ACCESS.get(folded(texts["access"]), texts["access"])
    return {column: text for column, text in draft.items() if text}


def _registers(texts: Mapping[str, str], place: Place, options: Options) -> dict[str, str]:
    """Return what only a Modbus tag has."""
    draft = {"register_type": place.register_type, "address": place.address, "bit": place.bit}
    draft["unit_id"] = texts.get("unit_id", "")
    if place.register_type in _BITS:
        return draft
    reading = _type(texts["type"]) if "type" in texts else tag_synonyms.Reading("", "")
    draft["type"] = "bool" if place.bit else reading.type
    written = texts.get("byte_order", "")
    order = tag_synonyms.BYTE_ORDERS.get(folded(written), written) or reading.byte_order
    if not order and not draft["type"].endswith(("16", "8", "bool")) and draft["type"]:
        order = options.byte_order
    draft["byte_order"] = order
    return draft


def _type(cell: str) -> tag_synonyms.Reading:
    """Return the type; one that nobody knows is left for the reader to refuse."""
    if folded(cell) in tag_synonyms.REGISTER_TYPES and folded(cell) not in tag_synonyms.TYPES:
        return tag_synonyms.Reading("", "")  # in some lists this column tells the register type
    return tag_synonyms.type_of(cell) or tag_synonyms.Reading(cell, "")


def _name(written: str) -> str:
    """Return a name our site takes, as like the written one as can be."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", written).strip("_")
    return (name if name[:1].isalpha() else f"t_{name}")[:NAME_MAX]


def _scaling(texts: Mapping[str, str]) -> dict[str, str]:
    """Return scale and offset: as written, or computed from the raw and the scaled range.

    Raises:
        RowProblem: a scaling that is no straight line.
    """
    draft = {column: texts[column] for column in ("scale", "offset") if column in texts}
    kind = folded(texts.get("+scaling", ""))
    ends = [texts.get(column, "") for column in _NUMBERS[2:]]
    if kind not in ("", "none", "linear", "0", "1"):
        raise RowProblem(f"scaling {texts['+scaling']!r} is not linear", "Leave it to the device, or derive a tag.")
    if kind in ("none", "0") or not all(ends):
        return _negated(draft, texts)
    try:
        raw_low, raw_high, low, high = (float(end) for end in ends)
        scale = (high - low) / (raw_high - raw_low)
    except (ValueError, ZeroDivisionError) as error:
        raise RowProblem(
            f"a range from {ends[0]}-{ends[1]} to {ends[2]}-{ends[3]} is no scaling", "Correct the four numbers."
        ) from error
    draft["scale"], draft["offset"] = _short(scale), _short(low - raw_low * scale)
    return _negated(draft, texts)


def _negated(draft: dict[str, str], texts: Mapping[str, str]) -> dict[str, str]:
    if folded(texts.get("+negate", "")) not in _TRUE:
        return draft
    try:
        return {"scale": _short(-float(draft.get("scale", "1"))), "offset": _short(-float(draft.get("offset", "0")))}
    except ValueError:
        return draft  # the reader says what is wrong with the number


def _short(number: float) -> str:
    return repr(float(f"{number:.{_DIGITS}g}"))


def _check_names(drafts: dict[int, dict[str, str]], source: Source, findings: Findings) -> None:
    """Take out rows whose name an earlier row has."""
    first: dict[str, int] = {}
    for line, draft in list(drafts.items()):
        name = draft["name"]
        if name not in first:
            first[name] = line
            continue
        findings.add(
            Origin(source, (f"row {line}",), line).problem(
                f"row {line}: the name {name} is that of row {first[name]}",
                remedy="Rename one of the two; characters that a name cannot hold became _.",
                found=name,
            )
        )
        del drafts[line]


def _judge(drafts: Mapping[int, dict[str, str]], name: str, device: Device, findings: Findings) -> dict[int, Tag]:
    """Let our own reader judge the drafts; return the good ones by their line."""
    if not drafts:
        return {}
    columns = list(COLUMNS[_kind(device)])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    at = 2
    for line, draft in drafts.items():
        text.write("\n" * (line - at))
        writer.writerow([draft.get(column, "").replace("\n", " ").replace("\r", " ") for column in columns])
        at = line + 1
    return {row.at.row: row.tag for row in read_tag_list(Source(name, text.getvalue()), device, findings).rows}


def _kind(device: Device) -> type[Tag]:
    return ModbusTag if isinstance(device, ModbusDevice) else OpcuaTag


def _written(drafts: Iterable[dict[str, str]], device: Device) -> str:
    """Return our tag list with the columns that are used."""
    rows = list(drafts)
    used = {column for draft in rows for column in draft}
    columns = [name for name, column in COLUMNS[_kind(device)].items() if column.required or name in used]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for draft in rows:
        writer.writerow([" ".join(draft.get(column, "").split()) for column in columns])
    return text.getvalue()


def _notes(sheet: Sheet, columns: list[str | None], kept: Sequence[dict[str, str]], scan_class: str) -> list[str]:
    notes = []
    unused = [header for header, column in zip(sheet.header, columns, strict=True) if header and column is None]
    if unused:
        notes.append(f"Columns not used: {', '.join(unused)[:300]}.")
    unnamed = sum(draft.get("scan_class") == scan_class for draft in kept) if scan_class else 0
    if unnamed and "scan_class" not in columns:
        notes.append(f"{unnamed} tags got the scan class {scan_class}; `--default scan_class=NAME` takes another.")
    if len(sheet.rows) > TAGS_MAX:
        notes.append(f"Only the first {TAGS_MAX} rows were read; a site has no more tags.")
    wide = [draft for draft in kept if draft.get("type", "").endswith(("32", "64")) and "register_type" in draft]
    if wide and not any(draft.get("byte_order") for draft in wide):
        notes.append(
            f"The list tells no byte order for {len(wide)} tags of several registers, so ABCD holds: look at one with "
            "`gatewayd device read`, and import again with --byte-order if it is another."
        )
    return notes
