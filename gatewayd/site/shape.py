"""Does a TOML table have the shape of its Struct? Every violation is reported, and what is left can still be used.

msgspec alone stops at the first violation and does not say what is allowed. This walk reads the same types through
`msgspec.inspect`, so the Structs of `gatewayd.model.config` stay the only place that says what a table holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import inspect

from gatewayd.site.problem import Findings, listed, nearest, shown
from gatewayd.site.source import KeyPath, Origin, spelled

TEXT_MAX = 10_000  # characters of one text
T = TypeVar("T", bound=msgspec.Struct)


class _Broken:
    """Marks a value that cannot be used."""


BROKEN: Final = _Broken()

_PATTERNS = {
    r"^[A-Za-z][A-Za-z0-9_-]{0,63}$": "a name: a letter, then letters, digits, _ or -, at most 64 characters",
    r"^\d+(\.\d+)?(ms|s|m|h)$": "a duration such as 500ms, 5s, 10m or 1h",
    r"^[^/]+/[^/]+$": "a tag as DEVICE/TAG",
    r"^/.": "a device file such as /dev/ttyUSB0 or, which stays the same, /dev/serial/by-id/...",
    r"^opc\.tcp://": "an endpoint as opc.tcp://HOST:PORT/PATH",
    r"^[a-z0-9][a-z0-9./-]{0,126}[a-z0-9]$": "lower-case letters, digits, '.', '/' and '-', 2 to 128 characters",
}
_REMEDIES = {
    "unit_id": "Set the number on the device's label.",
    "address_base": "See the device's register list: 0 if its first register is 0, 1 if it is 1.",
    "baud_rate": "Set the rate on the devices' labels or menus; all on a bus have the same.",
    "byte_order": "See the device's manual; ABCD is the usual order, CDAB has its words swapped.",
    "insecure": 'Write insecure = "accepted-by=NAME" with the name of the person who accepts it.',
}


class Fitter:
    """Fits raw TOML to Structs.

    Attributes:
        kept: path of an array -> original index of each element that was kept, so that later messages still point at
            the right element.
        lost: paths of the elements and tables that could not be used.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.kept: dict[KeyPath, list[int]] = {}
        self.lost: list[KeyPath] = []

    def fit(self, raw: object, kind: type[T], at: Origin) -> T | None:
        """Return the Struct, with what was wrong and optional left out; None if a required key is wrong or missing."""
        fitted = self._fit(inspect.type_info(kind), raw, at)
        return None if fitted is BROKEN else msgspec.convert(fitted, type=kind, strict=True)

    def fit_tagged(self, raw: object, kinds: tuple[type[msgspec.Struct], ...], at: Origin) -> msgspec.Struct | None:
        """Return the Struct among `kinds` that the raw table's tag names."""
        fitted = self._tagged(tuple(inspect.type_info(kind) for kind in kinds), raw, at)
        if fitted is BROKEN:
            return None
        assert isinstance(fitted, dict)
        chosen = next(k for k in kinds if fitted[k.__struct_config__.tag_field] == k.__struct_config__.tag)
        return msgspec.convert(fitted, type=chosen, strict=True)

    def _fit(self, kind: inspect.Type, raw: object, at: Origin) -> object:
        match kind:
            case inspect.StructType():
                return self._table(kind, raw, at)
            case inspect.DictType():
                return self._names(kind, raw, at)
            case inspect.VarTupleType():
                return self._array(kind, raw, at)
            case inspect.UnionType():
                some = tuple(member for member in kind.types if not isinstance(member, inspect.NoneType))
                return self._fit(some[0], raw, at) if len(some) == 1 else self._tagged(some, raw, at)
            case _:
                return self._scalar(kind, raw, at)

    def _tagged(self, kinds: tuple[inspect.Type, ...], raw: object, at: Origin) -> object:
        tables = {kind.tag: kind for kind in kinds if isinstance(kind, inspect.StructType)}
        tag_field = next(iter(tables.values())).tag_field
        assert tag_field is not None
        if not isinstance(raw, dict):
            return self._refuse(raw, "a table", at)
        chosen = raw.get(tag_field)
        allowed = listed(sorted(str(tag) for tag in tables))
        if tag_field not in raw:
            self._missing(at.child(tag_field), allowed)
            return BROKEN
        if not isinstance(chosen, str) or chosen not in tables:
            return self._refuse(chosen, allowed, at.child(tag_field), near=nearest(str(chosen), map(str, tables)))
        siblings = {
            field.encode_name: f"{tag_field} = {tag}" for tag, table in tables.items() for field in table.fields
        }
        return self._table(tables[chosen], raw, at, siblings)

    def _table(
        self, kind: inspect.StructType, raw: object, at: Origin, elsewhere: Mapping[str, str] | None = None
    ) -> object:
        """Fit a table; `elsewhere` says of keys of other kinds of table which kind has them."""
        if not isinstance(raw, dict):
            return self._refuse(raw, "a table", at)
        fields = {field.encode_name: field for field in kind.fields}
        fitted: dict[str, object] = {kind.tag_field: kind.tag} if kind.tag_field else {}
        broken = False
        for key, value in raw.items():
            if key == kind.tag_field:
                continue
            if key not in fields:
                self._stray_key(key, kind, elsewhere or {}, at)
                continue
            part = self._fit(fields[key].type, value, at.child(key))
            if part is not BROKEN:
                fitted[key] = part
            elif fields[key].required:
                broken = True
        for key, field in fields.items():
            if field.required and key not in raw:
                self._missing(at.child(key), allowed_of(field.type))
                broken = True
        if broken:
            self.lost.append(at.path)
        return BROKEN if broken else fitted

    def _names(self, kind: inspect.DictType, raw: object, at: Origin) -> object:
        if not isinstance(raw, dict):
            return self._refuse(raw, "a table", at)
        fitted = {}
        for key, value in raw.items():
            name = self._fit(kind.key_type, key, at.child(key))
            part = self._fit(kind.value_type, value, at.child(key))
            if name is BROKEN or part is BROKEN:
                self.lost.append(at.child(key).path)
            else:
                fitted[key] = part
        return fitted

    def _array(self, kind: inspect.VarTupleType, raw: object, at: Origin) -> object:
        if not isinstance(raw, list):
            return self._refuse(raw, "an array", at)
        parts = [self._fit(kind.item_type, item, at.child(index)) for index, item in enumerate(raw)]
        self.kept[at.path] = [index for index, part in enumerate(parts) if part is not BROKEN]
        return [part for part in parts if part is not BROKEN]

    def _scalar(self, kind: inspect.Type, raw: object, at: Origin) -> object:
        if _is_allowed(kind, raw):
            return raw
        near = ""
        if isinstance(kind, inspect.LiteralType) and isinstance(raw, str):
            near = nearest(raw, map(str, kind.values))
        return self._refuse(raw, allowed_of(kind), at, near=near)

    def _refuse(self, raw: object, allowed: str, at: Origin, *, near: str = "") -> object:
        self._findings.add(at.refused(raw, allowed=allowed, remedy=_remedy(raw, allowed, at, near), near=near))
        return BROKEN

    def _missing(self, at: Origin, allowed: str) -> None:
        self._findings.add(
            at.problem(
                f"{spelled(at.path)} is missing; allowed is {allowed}",
                remedy=f"Add {at.path[-1]} = ...",
                found="nothing",
                allowed=allowed,
            )
        )

    def _stray_key(self, key: str, kind: inspect.StructType, elsewhere: Mapping[str, str], at: Origin) -> None:
        """Report a key that this table does not have, though another of its kind may."""
        known = [*(field.encode_name for field in kind.fields), *([kind.tag_field] if kind.tag_field else [])]
        if key not in elsewhere:
            self._unknown_key(key, known, at)
            return
        other = elsewhere[key]
        self._findings.add(
            at.child(key).problem(
                f"{spelled((*at.path, key))} means nothing with {kind.tag_field} = {kind.tag}; it belongs to {other}",
                remedy=f"Remove {key}, or set {other} if that is how the device is connected.",
                found=key,
                allowed=listed(known, most=40),
            )
        )

    def _unknown_key(self, key: str, known: list[str], at: Origin) -> None:
        """Report a key nobody reads. Its value is not repeated: a password in the wrong place stays out of logs."""
        near = nearest(key, known)
        guess = f"; did you mean {near}?" if near else ""
        self._findings.add(
            at.child(key).problem(
                f"{spelled((*at.path, key))}: there is no key {shown(key)} here{guess}",
                remedy=f"Write {near} instead." if near else f"Remove it; the keys here are {listed(known, most=40)}.",
                found=key,
                allowed=listed(known, most=40),
                near=near,
            )
        )


def allowed_of(kind: inspect.Type) -> str:
    """Return what a type allows, in words."""
    match kind:
        case inspect.LiteralType():
            return listed((str(value) for value in kind.values), most=40)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_bounds(kind)}"
        case inspect.FloatType():
            return f"a number{_bounds(kind)}"
        case inspect.StrType():
            return _PATTERNS.get(kind.pattern, f"text matching {kind.pattern}") if kind.pattern else "text in quotes"
        case inspect.UnionType():
            return allowed_of(kind.types[0])
        case inspect.VarTupleType():
            return "an array"
        case _:
            return "a table"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f"{kind.ge}" if kind.ge is not None else ""
    high = f"{kind.le}" if kind.le is not None else ""
    if low and high:
        return f" from {low} to {high}"
    words = [f"above {kind.gt}"] if kind.gt is not None else [f"of at least {low}"] if low else []
    if high:
        words.append(f"at most {high}")
    return " " + ", ".join(words) if words else ""


def _is_allowed(kind: inspect.Type, raw: object) -> bool:
    match kind:
        case inspect.LiteralType():
            return any(type(raw) is type(value) and raw == value for value in kind.values)  # True == 1, so types too
        case inspect.BoolType():
            return isinstance(raw, bool)
        case inspect.IntType():
            return isinstance(raw, int) and not isinstance(raw, bool) and _in_bounds(kind, raw)
        case inspect.FloatType():
            return (
                isinstance(raw, int | float) and not isinstance(raw, bool) and _is_finite(raw) and _in_bounds(kind, raw)
            )
        case inspect.StrType():
            return isinstance(raw, str) and len(raw) <= TEXT_MAX and _matches(kind.pattern, raw)
        case _:
            raise AssertionError(kind)


def _is_finite(raw: float) -> bool:
    """Refuse inf and nan, which TOML knows, and whole numbers beyond float64."""
    try:
        return math.isfinite(float(raw))
    except OverflowError:
        return False


def _in_bounds(kind: inspect.IntType | inspect.FloatType, raw: float) -> bool:
    return (
        (kind.ge is None or raw >= kind.ge)
        and (kind.le is None or raw <= kind.le)
        and (kind.gt is None or raw > kind.gt)
        and (kind.lt is None or raw < kind.lt)
    )


def _matches(pattern: str | None, raw: str) -> bool:
    # `$` also matches before a final newline, which no name may carry.
    return pattern is None or (re.search(pattern, raw) is not None and not raw.endswith("\n"))


def _remedy(raw: object, allowed: str, at: Origin, near: str) -> str:
    key = str(at.path[-1]) if at.path else ""
    if near:
        return f"Write {near}."
    if isinstance(raw, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?", raw) and "number" in allowed:
        return f"Write {raw} without quotes."
    return _REMEDIES.get(key, f"Write {allowed}.")
