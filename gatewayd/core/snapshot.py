"""The state of the core as bytes: what every column and counter was between two cycles, bit for bit, NaN payloads included.

Left out is what every cycle fills anew, and what the site alone says: limits, places in other tables, settings of detectors.

`capture` copies and is quick; it stands between two cycles. `encode` may run in a thread. `restore` makes a state that goes on
as the first one did, for the same site and the same compiled code only: columns mean nothing to another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from gatewayd.core.detectors import CATALOGUE, fixed_columns
from gatewayd.core.kernels import Kernels
from gatewayd.core.site import Site
from gatewayd.core.state import Override, PointState, RuleState, State
from gatewayd.core.texts import HeldTexts
from gatewayd.errors import UNDECODABLE, JournalDamaged, KernelError, StoreError
from gatewayd.model.decision import WITHHELD, Mode

VERSION: Final = 2
VERSION_WITH_SETTINGS: Final = 1  # had them among its columns; still read
HEAD_SIZE_BYTES: Final = 4
SCRATCH: Final = frozenset(  # tables that every cycle fills before it reads them
    {"inbox", "response", "stack", "nest", "fresh", "due", "changed", "out"}
)
_SETTINGS_OF: Final = {  # table -> columns that follow from the site, and that no cycle writes
    "tag": (
        *("scale", "offset", "range_low", "range_high", "rate_max", "stuck_after", "stuck_deadband"),
        *(
            "stale_after",
            "source_age_max",
            "detector_first",
            "detector_count",
            *(f"{each.name}_row" for each in CATALOGUE),
        ),
        *("window_first", "dependency_first", "dependency_count"),
    ),
    "plan": ("row", "offset", "type", "order", "bit", "special", "not_a_value", "scale_offset"),
    "detector": ("kind", "tail_max", "tail_first", "hold_off", "hold_for"),
    **{each.name: fixed_columns(each) for each in CATALOGUE},
}
SETTINGS: Final = frozenset(f"{table}.{name}" for table, names in _SETTINGS_OF.items() for name in names)
OF_THE_SITE: Final = frozenset(  # attributes of a state that follow from its site and kernels
    {"plan_first", "plan_base", "text_rows", "users", "checks", "kernel_digest"}
)


class Kept(Struct, frozen=True):
    """What of a state is neither column nor text nor follows from the site, under the names it has there."""

    boot_id: bytes
    mode: Mode
    pass_number: int
    next_decision_id: int
    next_override_id: int
    next_stale_mono_ns: int
    next_program_mono_ns: int
    next_decide_mono_ns: int
    rules: list[RuleState]
    points: list[PointState]
    overrides: dict[int, Override]
    lost: set[int]
    dirty: set[int]
    stopping: bool


class Column(NamedTuple):
    """Where a column's cells stand: as many bytes after those of the column before; `format` as memoryviews name it."""

    name: str
    format: str
    size: int


class Captured(NamedTuple):
    """A copy of a state, which no later cycle changes.

    Args:
        cycle: the last one that the state has seen.
        site: digest of what it was made for.
        kernels: digest of the code that its columns are laid out for.
        kept: msgpack of `Kept`.
        texts: of the side table.
        columns: all but scratch and settings, in the order of their cells.
        cells: of the columns, little-endian; may be given to another `capture` once this one is encoded.
    """

    cycle: int
    site: bytes
    kernels: bytes
    kept: bytes
    texts: HeldTexts
    columns: list[Column]
    cells: bytearray


class _Snapshot(Struct, frozen=True, array_like=True):
    """What stands before the cells."""

    version: int
    cycle: int
    site: bytes
    kernels: bytes
    kept: msgspec.Raw
    texts: HeldTexts
    columns: list[Column]


class _Head(Struct, frozen=True, array_like=True):
    """The beginning of a snapshot, which every version has."""

    version: int
    cycle: int
    site: bytes
    kernels: bytes


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(_Head)
_decoder = msgspec.msgpack.Decoder(_Snapshot)
_kept_decoder = msgspec.msgpack.Decoder(Kept)
_names = tuple(field.name for field in msgspec.structs.fields(Kept))


def capture(state: State, site: Site, *, cycle: int, buffer: bytearray | None = None) -> Captured:
    """Copy a state between two cycles; at 10,000 tags about 2.3 MB in a millisecond.

    Args:
        state: is not changed.
        site: what it was made for.
        cycle: the last one it has seen.
        buffer: of an earlier capture; fresh pages would cost several times what the copy does.
    """
    kept = without_texts(Kept(**{name: getattr(state, name) for name in _names}))
    views = list(_columns_of(state, VERSION).items())
    columns = [Column(name, view.format, view.nbytes) for name, view in views]
    size = sum(column.size for column in columns)
    cells = bytearray(size) if buffer is None or len(buffer) != size else buffer
    target, at = memoryview(cells), 0
    for _, view in views:
        target[at : at + view.nbytes] = view.cast("B")
        at += view.nbytes
    texts = state.texts.held()
    return Captured(cycle, site.digests.site, state.kernel_digest, _encoder.encode(kept), texts, columns, cells)


def without_texts(kept: Kept) -> Kept:
    """Return a state without people's names and words, which a snapshot could never forget, since a record cites its hash.

    The core decides the same: of a text it only asks whether there is one.
    """
    points = [_point_without_texts(point) if point.claims else point for point in kept.points]
    overrides = {
        index: replace(each, actor=each.actor.without_name(), reason=_withheld(each.reason))
        for index, each in kept.overrides.items()
    }
    return msgspec.structs.replace(kept, points=points, overrides=overrides)


def _point_without_texts(point: PointState) -> PointState:
    claims = {
        source: replace(claim, actor=claim.actor and claim.actor.without_name(), text=_withheld(claim.text))
        for source, claim in point.claims.items()
    }
    return replace(point, claims=claims)


def _withheld(text: str) -> str:
    return WITHHELD if text.strip() else ""


def head_of(captured: Captured) -> bytes:
    """Return the stored form but for the cells, which follow as they are: they are most of it, and need no copy."""
    cycle, site, kernels, kept, texts, columns, _ = captured
    head = _encoder.encode(_Snapshot(VERSION, cycle, site, kernels, msgspec.Raw(kept), texts, columns))
    return len(head).to_bytes(HEAD_SIZE_BYTES, "big") + head


def encode(captured: Captured) -> bytes:
    """Return the stored form."""
    return head_of(captured) + captured.cells


def restore(content: bytes, site: Site, kernels: Kernels, *, any_kernels: bool = False) -> tuple[State, int]:
    """Return the state, and the last cycle it has seen.

    Args:
        content: what `encode` returned.
        site: compiled, with its digests.
        kernels: compiled code.
        any_kernels: these need not be the ones it was taken with, as long as their columns are the same; decisions go
            on citing those.

    Raises:
        KernelError: it was taken with other compiled code.
        StoreError: it is of another site or version.
        JournalDamaged: it is no snapshot.
    """
    size = HEAD_SIZE_BYTES + int.from_bytes(content[:HEAD_SIZE_BYTES], "big")
    head = memoryview(content)[HEAD_SIZE_BYTES:size]
    try:
        _require_same(_head_decoder.decode(head), site, None if any_kernels else kernels)
        snapshot = _decoder.decode(head)
        kept = _kept_decoder.decode(snapshot.kept)
    except UNDECODABLE as error:
        raise _damaged(str(error)) from error
    state = State(site, kernels, now_mono_ns=1)
    state.kernel_digest = snapshot.kernels
    _fill(_columns_of(state, snapshot.version), snapshot.columns, memoryview(content)[size:])
    for name in _names:
        setattr(state, name, getattr(kept, name))
    for point in state.points:
        point.last_key = _tuples(point.last_key)
    state.texts.take_up(snapshot.texts)
    if (len(state.rules), len(state.points)) != (len(site.rules), len(site.points)):
        raise _damaged(f"it has {len(state.rules)} rules and {len(state.points)} points, its site has others")
    return state, snapshot.cycle


def _require_same(head: _Head, site: Site, kernels: Kernels | None) -> None:
    if head.version not in (VERSION, VERSION_WITH_SETTINGS):
        raise StoreError(
            f"the snapshot of cycle {head.cycle} has version {head.version}, this program knows {VERSION}",
            remedy="Replay with the version of gatewayd that recorded it; its `start` record names it.",
        )
    if kernels is not None and head.kernels != kernels.digest:
        raise KernelError(
            f"the snapshot of cycle {head.cycle} was taken with the kernels {head.kernels.hex()[:16]}, "
            f"these are {kernels.digest.hex()[:16]} ({kernels.form})",
            remedy="Replay with the build of gatewayd that recorded it, for the same processor (its `start` record has the "
            "version), or with --any-kernels, to see whether these give the same.",
        )
    if head.site != site.digests.site:
        raise StoreError(
            f"the snapshot of cycle {head.cycle} is of the site {head.site.hex()[:16]}, not {site.digests.site.hex()[:16]}",
            remedy="Restore it with the configuration that its block names.",
        )


def _columns_of(state: State, version: int) -> dict[str, memoryview]:
    """Return the columns that a snapshot of this version has, in the order of their cells."""
    left_out = frozenset() if version == VERSION_WITH_SETTINGS else SETTINGS
    return {
        name: view
        for name, view in state.columns.items()
        if name not in left_out and name.partition(".")[0] not in SCRATCH
    }


def _fill(wanted: dict[str, memoryview], columns: list[Column], cells: memoryview) -> None:
    shapes = {column.name: (column.format, column.size) for column in columns}
    expected = {name: (view.format, view.nbytes) for name, view in wanted.items()}
    if shapes != expected or len(columns) != len(expected):
        others = sorted({name for name, _ in shapes.items() ^ expected.items()})
        raise _damaged(f"its columns {', '.join(others[:3])} are not those of its site and kernels")
    if len(cells) != sum(column.size for column in columns):
        raise _damaged(f"it has {len(cells)} bytes of cells, too many or too few")
    at = 0
    for name, _, size in columns:
        wanted[name].cast("B")[:] = cells[at : at + size]
        at += size


def _tuples(decoded: object) -> tuple[object, ...]:
    """Return msgpack's lists as the tuples they were: they are compared with others."""
    assert isinstance(decoded, list | tuple)
    return tuple(_tuples(each) if isinstance(each, list | tuple) else each for each in decoded)


def _damaged(what: str) -> JournalDamaged:
    return JournalDamaged(
        f"a snapshot of the core's state is not what was stored: {what}",
        remedy="Run `gatewayd journal verify`; replay can begin at a later block.",
    )
