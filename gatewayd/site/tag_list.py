"""Tag lists: CSV, one row per tag, because technicians live in spreadsheets. Every bad row is reported."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, get_args

import msgspec

from gatewayd.model.device import (
    SUBSCRIBED_ONLY,
    Device,
    ModbusBusDevice,
    ModbusDevice,
    ModbusTag,
    OpcuaScanClass,
    OpcuaTag,
    RegisterType,
    RegisterValueType,
    Tag,
)
from gatewayd.model.registers import SINGLE_BITS, parse_not_a_value
from gatewayd.site.address import AddressError, parse_address
from gatewayd.site.problem import Findings, Problem, listed, nearest, shown
from gatewayd.site.register_row import register_problems
from gatewayd.site.shape import Fitter
from gatewayd.site.source import Origin, Source

TAGS_MAX = 200_000  # of a whole site
CELL_MAX = 4096  # characters

_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_NODE_ID = re.compile(
    r"(ns=[0-9]{1,5};|nsu=[^;]+;)?(i=[0-9]{1,10}|s=.{1,4096}|b=[A-Za-z0-9+/]+={0,2}|g=[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
_INDICES = r"[0-9]{1,9}(,[0-9]{1,9}){0,7}"
_ELEMENT = re.compile(rf"{_INDICES}|(\.?[A-Za-z_]\w*|\[{_INDICES}\])(\.[A-Za-z_]\w*|\[{_INDICES}\]){{0,15}}", re.ASCII)
_ARRAY_ELEMENT = re.compile(rf"{_INDICES}|\[{_INDICES}\]")
REGISTER_TYPES: dict[str, RegisterType] = {
    "coil": "coil",
    "discrete": "discrete",
    "input": "input",
    "holding": "holding",
}
REGISTER_VALUE_TYPES: tuple[str, ...] = get_args(RegisterValueType)


class Column(NamedTuple):
    """How the cells of a column are read."""

    required: bool
    kind: str  # how its cells are read, a key of `_READ`


_KINDS = {
    "scale": "number",
    "offset": "number",
    "address": "address",
    "scale_register": "address",
    "bit": "whole",
    "unit_id": "whole",
    "length": "whole",
    "own_request": "truth",
    "not_a_value": "no value",
    "sampling_interval_ms": "whole",
    "queue_size": "whole",
    "discard_oldest": "truth",
    "deadband": "number",
    "max_report_interval_s": "number",
}
COLUMNS: dict[type[Tag], dict[str, Column]] = {
    kind: {field.name: Column(field.required, _KINDS.get(field.name, "text")) for field in msgspec.structs.fields(kind)}
    for kind in (ModbusTag, OpcuaTag)
}


class TagRow(NamedTuple):
    """One good row and where it stands."""

    tag: Tag
    at: Origin


class TagList(NamedTuple):
    """What a file held: the good rows, and the names of the bad ones so that nobody calls those unknown as well."""

    rows: tuple[TagRow, ...]
    broken: frozenset[str]


def read_tag_list(source: Source, device: Device, findings: Findings, *, tags_max: int = TAGS_MAX) -> TagList:
    """Read a device's tag list, reporting every problem in it.

    Args:
        source: the CSV file; comma-separated, one header row.
        device: decides the columns, the address base and the scan classes.
        findings: receives the problems.
        tags_max: rows the site may still take; the rest is reported once and left out.
    """
    return _Reader(source, device, findings).read(tags_max)


class _Reader:
    def __init__(self, source: Source, device: Device, findings: Findings) -> None:
        self._source = source
        self._device = device
        self._findings = findings
        self._fitter = Fitter(findings)
        self._kind: type[Tag] = ModbusTag if isinstance(device, ModbusDevice) else OpcuaTag
        self._columns = COLUMNS[self._kind]

    def read(self, tags_max: int) -> TagList:
        good: list[TagRow] = []
        broken: set[str] = set()
        rows = self._rows()
        header = next(rows, None)
        if header is None:
            self._findings.add(
                Origin(self._source).problem(
                    "the tag list is empty", remedy=f"Begin it with a header: {listed(self._columns, most=40)}."
                )
            )
        if header is None or not self._check_header(header[1]):
            return TagList((), frozenset())
        names = [cell.strip() for cell in header[1]]
        for number, cells in rows:
            if len(good) + len(broken) == tags_max:
                self._too_many(number)
                break
            row = self._row(number, names, cells)
            if isinstance(row, TagRow):
                good.append(row)
            elif row:
                broken.add(row)
        return TagList(tuple(good), frozenset(broken))

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that holds something, with the number of its line."""
        reader = csv.reader(io.StringIO(self._source.text), strict=True)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                self._findings.add(
                    Origin(self._source, row=reader.line_num).problem(
                        f"row {reader.line_num} is not CSV: {error}",
                        remedy="Save the sheet again as comma-separated CSV; rows below this one were not read.",
                    )
                )
                return
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells

    def _check_header(self, header: list[str]) -> bool:
        at = Origin(self._source, row=1)
        names = [cell.strip() for cell in header]
        problems: list[Problem] = []
        if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
            problems.append(
                at.problem(
                    "the header is not separated by commas",
                    remedy="Save the sheet as comma-separated CSV (UTF-8), with points in numbers: 0.1, not 0,1.",
                    found=names[0],
                )
            )
        else:
            problems += [self._unknown_column(at, name) for name in names if name not in self._columns]
            problems += [
                at.problem(f"column {name} stands twice", remedy="Remove one of the two.", found=name)
                for name in dict.fromkeys(names)
                if name in self._columns and names.count(name) > 1
            ]
            problems += [
                at.problem(
                    f"column {name} is missing", remedy=f"Add a column {name}.", allowed=listed(self._columns, most=40)
                )
                for name, column in self._columns.items()
                if column.required and name not in names
            ]
        for problem in problems:
            self._findings.add(problem)
        return not problems

    def _unknown_column(self, at: Origin, name: str) -> Problem:
        near = nearest(name, self._columns)
        guess = f"; did you mean {near}?" if near else ""
        allowed = listed(self._columns, most=40)
        return at.problem(
            f"there is no column {shown(name)}{guess}",
            remedy=f"Write {near} instead." if near else f"Remove it; the columns are {allowed}.",
            found=name,
            allowed=allowed,
            near=near,
        )

    def _row(self, number: int, names: list[str], cells: list[str]) -> TagRow | str:
        """Return the tag, or the name of a bad row (empty if it has none)."""
        at = Origin(self._source, (f"row {number}",), number)
        if len(cells) != len(names):
            self._findings.add(
                at.problem(
                    f"row {number} has {len(cells)} cells; the header has {len(names)}",
                    remedy="Fill it up with commas, or put quotes around a text that holds a comma.",
                )
            )
            return cells[names.index("name")].strip() if names.index("name") < len(cells) else ""
        texts = {name: text for name, cell in zip(names, cells, strict=True) if (text := cell.strip())}
        tag = self._tag(texts, at)
        return texts.get("name", "") if tag is None else TagRow(tag, at)

    def _tag(self, texts: dict[str, str], at: Origin) -> Tag | None:
        tag_config = self._kind.__struct_config__
        raw: dict[str, object] = {str(tag_config.tag_field): tag_config.tag}
        bad = False
        for name, text in texts.items():
            value = self._cell(name, text, texts, at)
            if isinstance(value, Problem):
                self._findings.add(value)
                bad = True
                value = _PLACEHOLDER.get(name)
            if value is not None:
                raw[name] = value
        if self._kind is ModbusTag and texts.get("register_type") in SINGLE_BITS:
            raw.setdefault("type", "bool")
        tag = self._convert(raw, at)
        if tag is None or bad:
            return None
        problems = tuple(_row_problems(tag, self._device, at))
        for problem in problems:
            self._findings.add(problem)
        return None if problems else tag

    def _convert(self, raw: dict[str, object], at: Origin) -> Tag | None:
        """Convert a row: the quick way if it is right, the explaining way if it is not."""
        try:
            return msgspec.convert(raw, type=self._kind, strict=True)
        except msgspec.ValidationError:
            self._fitter.fit(raw, self._kind, at)
            return None

    def _cell(self, name: str, text: str, texts: dict[str, str], at: Origin) -> object:
        if len(text) > CELL_MAX:
            return at.child(name).problem(
                f"{at.path[0]}.{name} has {len(text)} characters; allowed is {CELL_MAX}", remedy="Shorten it."
            )
        return _READ[self._columns[name].kind](self, text, texts, at.child(name))

    def _text(self, text: str, texts: dict[str, str], at: Origin) -> object:
        return text

    def _number(self, text: str, texts: dict[str, str], at: Origin) -> object:
        if _NUMBER.fullmatch(text) and abs(value := float(text)) != float("inf"):
            return value
        remedy = (
            f"Write {text.replace(',', '.')}." if re.fullmatch(r"-?\d+,\d+", text) else "Write a number such as 0.1."
        )
        return at.refused(text, allowed="a number", remedy=remedy)

    def _whole(self, text: str, texts: dict[str, str], at: Origin) -> object:
        return (
            int(text)
            if _WHOLE.fullmatch(text)
            else at.refused(text, allowed="a whole number", remedy="Write digits only.")
        )

    def _truth(self, text: str, texts: dict[str, str], at: Origin) -> object:
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() in known:  # a spreadsheet writes TRUE
            return known[text.lower()]
        return at.refused(text, allowed="true or false", remedy="Write true or false.")

    def _address(self, text: str, texts: dict[str, str], at: Origin) -> object:
        register_type = texts.get("register_type", "")
        base = self._device.address_base if isinstance(self._device, ModbusDevice) else 0
        if register_type not in REGISTER_TYPES:
            return 0  # the wrong register type is reported, and an address means nothing without it
        address = parse_address(text, REGISTER_TYPES[register_type], base)
        if isinstance(address, AddressError):
            return at.problem(
                f"{at.path[0]}: {address.message}", remedy=address.remedy, found=text, allowed=address.allowed
            )
        return address

    def _no_value(self, text: str, texts: dict[str, str], at: Origin) -> object:
        type_ = texts.get("type", "uint16")
        if type_ not in REGISTER_VALUE_TYPES:
            return None  # the wrong type is reported, and "no value" means nothing without it
        raw = parse_not_a_value(text, type_)
        if raw is not None:
            return raw
        return at.refused(
            text,
            allowed=f"sunspec, raw bits such as 0x8000, or a raw number that {type_} can hold",
            remedy="Write what the device's manual gives for a value that is missing or not implemented.",
        )

    def _too_many(self, number: int) -> None:
        self._findings.add(
            Origin(self._source, row=number).problem(
                f"row {number}: a site has at most {TAGS_MAX} tags",
                remedy="Split the site over several gateways; rows from this one on were not read.",
                allowed=str(TAGS_MAX),
            )
        )


_PLACEHOLDER: dict[str, object] = {"address": 0}  # a required cell that is wrong is reported once, not also as missing
_READ: dict[str, Callable[[_Reader, str, dict[str, str], Origin], object]] = {
    "text": _Reader._text,
    "number": _Reader._number,
    "whole": _Reader._whole,
    "truth": _Reader._truth,
    "address": _Reader._address,
    "no value": _Reader._no_value,
}


def _row_problems(tag: Tag, device: Device, at: Origin) -> Iterator[Problem]:
    """Check what one cell says against another."""
    if tag.scale == 0:
        yield at.child("scale").refused(0, allowed="any number but 0", remedy="Write the factor; 1 if there is none.")
    if tag.scan_class not in device.scan_classes:
        yield at.child("scan_class").unknown(
            tag.scan_class,
            what=f"scan class of {device.name}",
            known=list(device.scan_classes),
            remedy=f"The scan classes of {device.name} are {listed(device.scan_classes)}.",
        )
    if isinstance(tag, ModbusTag):
        assert isinstance(device, ModbusDevice)
        if tag.unit_id == 0 and isinstance(device, ModbusBusDevice):
            yield at.child("unit_id").refused(
                0,
                allowed="1 to 255 on a bus",
                remedy="Unit 0 is broadcast, which nobody answers; write the unit's own.",
            )
        yield from register_problems(tag, device, at)
    else:
        yield from _subscription_problems(tag, device, at)
        yield from _node_problems(tag, at)


def _node_problems(tag: OpcuaTag, at: Origin) -> Iterator[Problem]:
    if not _NODE_ID.fullmatch(tag.node_id):
        yield at.child("node_id").refused(
            tag.node_id,
            allowed="a node id",
            remedy="Write nsu=URI;s=NAME, ns=2;s=NAME or ns=2;i=1001, as a client such as UaExpert shows it.",
        )
    if tag.element and not _ELEMENT.fullmatch(tag.element):
        yield at.child("element").refused(
            tag.element,
            allowed="an index, a field or a path of both",
            remedy="Write 3, 2,1 (in quotes) for a matrix, .Speed, or Motor[2].Speed; the first element is 0.",
        )
    elif tag.element and tag.access != "r" and not _ARRAY_ELEMENT.fullmatch(tag.element):
        yield at.child("access").refused(
            tag.access,
            allowed="r for a field of a structure",
            remedy="A field cannot be written without the rest of its structure; use a node of its own if there is one.",
        )


def _subscription_problems(tag: OpcuaTag, device: Device, at: Origin) -> Iterator[Problem]:
    """Check what a subscription is to do with a tag; in a polled scan class such a cell would do nothing."""
    scan = device.scan_classes.get(tag.scan_class)
    defaults = {field.name: field.default for field in msgspec.structs.fields(OpcuaTag)}
    if isinstance(scan, OpcuaScanClass) and scan.mode == "poll":
        for key in SUBSCRIBED_ONLY:
            if getattr(tag, key) != defaults[key]:
                yield at.child(key).refused(
                    getattr(tag, key),
                    allowed=f"empty, for scan class {tag.scan_class} is polled",
                    remedy=f'Set mode = "subscribe" in [device.scan_classes.{tag.scan_class}], or leave the cell empty.',
                )
    elif scan is not None and tag.element:
        yield at.child("element").refused(
            tag.element,
            allowed=f"empty, for scan class {tag.scan_class} is subscribed",
            remedy='Elements are polled: put the tag into a scan class of mode = "poll".',
        )
    if tag.deadband_type == "percent" and tag.deadband > 100:
        yield at.child("deadband").refused(
            tag.deadband, allowed="0 to 100 percent", remedy="Write the share of the node's EURange in percent."
        )
    if tag.deadband and tag.type == "bool":
        yield at.child("deadband").refused(
            tag.deadband, allowed="empty for a bool", remedy="Leave the cell empty: a bool reports every change."
        )
