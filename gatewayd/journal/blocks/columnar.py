"""The inputs of consecutive cycles as columns: payloads byte under byte, times as lines and jitter, all else as it is.

A block is the byte 2 and a msgpack array of four sections, each [bytes when expanded, bytes], compressed if that is
shorter: the head, numbers in bits, numbers in bytes, payloads. Blocks of readings that differ in nothing but times and
bytes are of one shape; the head lists the shapes, and which of them each cycle has, in order. What has an odd length
or comes once is a shape of its own and stands as it is. See decision 0015.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, repeat
from typing import Annotated

import msgspec
import zstandard
from msgspec import Meta, Struct

from gatewayd.errors import UNDECODABLE
from gatewayd.journal.blocks import lanes, series
from gatewayd.journal.blocks.lanes import Form
from gatewayd.journal.blocks.series import Series
from gatewayd.model.block import Block, Codec

VERSION = 2
EXPANDED_BYTES_MAX = 32 << 20  # of msgpack, when unpacked
HEAD_BYTES_MAX = 4 << 20
READINGS_MAX = 65_536  # blocks of readings in all cycles together
CYCLES_MAX = 65_536
TIME_MAX = 1 << 62  # ns, and numbers of cycles
SERIES = 6
READING_BYTES = 64  # at most, of msgpack, besides payload and `lost`
CYCLE_BYTES = 48
SMALL_BYTES = 16_384  # of a section that is worth the slowest level
SMALL_LEVELS = (19,)
LEVELS = (1, 3)  # differences of registers are shorter with the first, of floats with the second
TRIED_ROWS_MIN = 4
TRIED_BYTES = 65_536
TRIED_AGAIN_AFTER = 64  # blocks: about an hour
FORMS_KEPT_MAX = 4096
_MAGIC = zstandard.FRAME_HEADER

_encoder = msgspec.msgpack.Encoder()


class Malformed(ValueError):
    """A block is not what `pack` makes."""


class _Cycle(Struct, frozen=True, array_like=True):
    """`Inputs`, with what is rare left as it is."""

    cycle: int
    wall_ns: int
    mono_ns: int
    blocks: list[Block]
    outcomes: msgspec.Raw
    requests: msgspec.Raw


class _Shape(Struct, frozen=True, array_like=True):
    """What readings have in common."""

    plan: int
    codec: Codec
    size: int  # bytes of the payload
    status: int
    lost: tuple[tuple[int, int, int], ...]
    plans: int

    @property
    def expanded_bytes(self) -> int:
        """Return the most msgpack that one reading of it becomes."""
        return READING_BYTES + self.size + len(_encoder.encode(self.lost))


class _Rare(Struct, frozen=True, array_like=True):
    """What few cycles have: `place` counts the cycles of the block."""

    place: int
    outcomes: msgspec.Raw
    requests: msgspec.Raw


_NONE = msgspec.Raw(_encoder.encode(()))
_NOTHING = _Rare(0, _NONE, _NONE)


class _Head(Struct, frozen=True, array_like=True):
    """Everything but numbers and payloads.

    Args:
        forms: of the payloads of each shape.
        patterns: shapes of a cycle's readings, in order.
        cycles: which pattern each cycle has.
        series: cycle, mono, wall - mono; then of all readings, shape by shape: age, skew, duration.
    """

    shapes: list[_Shape]
    forms: list[Form]
    patterns: list[list[int]]
    cycles: list[int]
    series: Annotated[tuple[Series, ...], Meta(min_length=SERIES, max_length=SERIES)]
    rare: list[_Rare]


class _Section(Struct, frozen=True, array_like=True):
    size: int  # bytes when expanded
    content: bytes  # as it is, if it has that size


_cycle_decoder = msgspec.msgpack.Decoder(_Cycle)
_head_decoder = msgspec.msgpack.Decoder(_Head)
_sections_decoder = msgspec.msgpack.Decoder(tuple[_Section, _Section, _Section, _Section])


# --- packing ------------------------------------------------------------------------------------------------------------


class Packer:
    """Turns cycles into columns and remembers which form suits the payloads of which plan. One thread at a time."""

    def __init__(self) -> None:
        self._forms: dict[tuple[int, int, int], tuple[Form, int]] = {}
        self._blocks = 0

    def pack(self, encoded: Sequence[bytes]) -> bytes | None:
        """Return a block's stored bytes; None if these cycles are none that columns are made for.

        Args:
            encoded: msgpack of the `Inputs` of each cycle.
        """
        cycles = [_cycle_decoder.decode(each) for each in encoded]
        if not cycles or len(cycles) > CYCLES_MAX or not _are_plain(cycles):
            return None
        self._blocks += 1
        rows, patterns, places = _gathered(cycles)
        shapes = sorted(rows, key=lambda shape: (shape.plan, shape.size))
        number = {shape: place for place, shape in enumerate(shapes)}
        payloads = [[block.payload for _, block in rows[shape]] for shape in shapes]
        forms = [self._form(shape, column) for shape, column in zip(shapes, payloads, strict=True)]
        readings = [row for shape in shapes for row in rows[shape]]
        packed = [series.pack(numbers) for numbers in _numbers(cycles, readings)]
        head = _Head(
            shapes=shapes,
            forms=forms,
            patterns=[[number[shape] for shape in pattern] for pattern in patterns],
            cycles=places,
            series=tuple(form for form, _ in packed),
            rare=_rare(cycles),
        )
        encoded_head = _encoded(head)
        if encoded_head is None:
            return None
        sections = (
            encoded_head,
            b"".join(content for form, content in packed if not form.width),
            b"".join(content for form, content in packed if form.width),
            b"".join(lanes.laid_out(column, form) for column, form in zip(payloads, forms, strict=True) if column[0]),
        )
        return bytes((VERSION,)) + _encoder.encode([_section(content) for content in sections])

    def _form(self, shape: _Shape, payloads: list[bytes]) -> Form:
        """Return the form that made the shape's payloads shortest when it was last tried."""
        if len(payloads) < TRIED_ROWS_MIN or not shape.size:
            return Form.PLAIN
        key = (shape.plan, shape.codec, shape.size)
        form, tried_in = self._forms.get(key, (Form.PLAIN, -TRIED_AGAIN_AFTER))
        if self._blocks - tried_in < TRIED_AGAIN_AFTER:
            return form
        tried = payloads[: max(TRIED_ROWS_MIN, TRIED_BYTES // shape.size)]
        fitting = [form for form in Form if lanes.fits(form, shape.size)]
        form = min(fitting, key=lambda form: len(_compressed(lanes.laid_out(tried, form))))
        if len(self._forms) >= FORMS_KEPT_MAX:
            self._forms.clear()
        self._forms[key] = (form, self._blocks)
        return form


def _are_plain(cycles: Sequence[_Cycle]) -> bool:
    """Say whether all numbers are times and counts as they should be; others are for a form that takes anything."""
    readings = [block for cycle in cycles for block in cycle.blocks]
    if len(readings) > READINGS_MAX:
        return False
    times = [time for cycle in cycles for time in (cycle.cycle, cycle.wall_ns, cycle.mono_ns)]
    for block in readings:
        times += (block.request_time_ns, block.response_time_ns, block.response_mono_ns)
    return min(times) >= 0 and max(times) <= TIME_MAX


def _gathered(
    cycles: Sequence[_Cycle],
) -> tuple[dict[_Shape, list[tuple[_Cycle, Block]]], list[tuple[_Shape, ...]], list[int]]:
    """Return the readings of each shape, the patterns of shapes that cycles have, and which one each cycle has."""
    rows: dict[_Shape, list[tuple[_Cycle, Block]]] = {}
    patterns: dict[tuple[_Shape, ...], int] = {}
    places = []
    for cycle in cycles:
        pattern = tuple([_shape_of(block) for block in cycle.blocks])
        places.append(patterns.setdefault(pattern, len(patterns)))
        for shape, block in zip(pattern, cycle.blocks, strict=True):
            rows.setdefault(shape, []).append((cycle, block))
    return rows, list(patterns), places


def _encoded(head: _Head) -> bytes | None:
    """Return a head's msgpack; None if times lie so far apart, or it is so large, that it could not be unpacked."""
    try:
        encoded = _encoder.encode(head)
    except OverflowError:
        return None
    is_sound = all(each.is_sound for each in head.series)
    fits = len(encoded) <= HEAD_BYTES_MAX and _expanded_bytes(head) <= EXPANDED_BYTES_MAX
    return encoded if is_sound and fits else None


def _shape_of(block: Block) -> _Shape:
    return _Shape(block.plan, block.codec, len(block.payload), block.status, block.lost, block.plans)


def _numbers(cycles: Sequence[_Cycle], readings: Sequence[tuple[_Cycle, Block]]) -> Iterator[list[int]]:
    """Yield the numbers of the head's series. A reading's times are told by its cycle's, which they are close to."""
    yield [cycle.cycle for cycle in cycles]
    yield [cycle.mono_ns for cycle in cycles]
    yield [cycle.wall_ns - cycle.mono_ns for cycle in cycles]
    yield [cycle.mono_ns - block.response_mono_ns for cycle, block in readings]
    yield [
        (cycle.wall_ns - cycle.mono_ns) - (block.response_time_ns - block.response_mono_ns) for cycle, block in readings
    ]
    yield [block.response_time_ns - block.request_time_ns for _, block in readings]


def _rare(cycles: Sequence[_Cycle]) -> list[_Rare]:
    return [
        _Rare(place, cycle.outcomes, cycle.requests)
        for place, cycle in enumerate(cycles)
        if bytes(cycle.outcomes) != bytes(_NONE) or bytes(cycle.requests) != bytes(_NONE)
    ]


def _section(content: bytes) -> _Section:
    packed = _compressed(content)
    return _Section(len(content), packed if len(packed) < len(content) else content)


def _compressed(content: bytes) -> bytes:
    """Compress without the four bytes that each frame begins with."""
    levels = SMALL_LEVELS if len(content) <= SMALL_BYTES else LEVELS
    return min((zstandard.ZstdCompressor(level=level).compress(content) for level in levels), key=len)[len(_MAGIC) :]


# --- unpacking ----------------------------------------------------------------------------------------------------------


def unpack(content: bytes) -> list[msgspec.Raw]:
    """Return the msgpack of the `Inputs` of each cycle, byte for byte as it was packed.

    Raises:
        Malformed: `pack` does not make such bytes, or they would expand beyond every bound.
    """
    try:
        if content[:1] != bytes((VERSION,)):
            raise Malformed("it is of another version")
        head_bytes, *rest = _expanded(_sections_decoder.decode(content[1:]))
        head = _head_decoder.decode(head_bytes)
        _check(head)
        return [msgspec.Raw(_encoder.encode(cycle)) for cycle in _cycles(head, *rest)]
    except (*UNDECODABLE, zstandard.ZstdError, OverflowError) as error:
        raise Malformed(str(error)) from error


def _expanded(sections: Sequence[_Section]) -> list[bytes]:
    if not 0 <= sections[0].size <= HEAD_BYTES_MAX or any(section.size < 0 for section in sections):
        raise Malformed(f"its head claims to have {sections[0].size} bytes")
    if (claimed := sum(section.size for section in sections)) > EXPANDED_BYTES_MAX:
        raise Malformed(f"it claims to hold {claimed} bytes")
    return [_expanded_one(section) for section in sections]


def _expanded_one(section: _Section) -> bytes:
    if len(section.content) == section.size:
        return section.content
    frame = _MAGIC + section.content
    if zstandard.frame_content_size(frame) != section.size:
        raise Malformed("a section does not have the size that it claims")
    return zstandard.ZstdDecompressor(max_window_size=EXPANDED_BYTES_MAX).decompress(frame)


def _uses(head: _Head) -> list[int]:
    """Return how many readings there are of each shape."""
    uses = [0] * len(head.shapes)
    for pattern, times in Counter(head.cycles).items():
        for shape in head.patterns[pattern]:
            uses[shape] += times
    return uses


def _expanded_bytes(head: _Head) -> int:
    """Return about as many bytes of msgpack as the cycles become, never less."""
    readings = sum(uses * shape.expanded_bytes for uses, shape in zip(_uses(head), head.shapes, strict=True))
    rare = sum(len(bytes(each.outcomes)) + len(bytes(each.requests)) for each in head.rare)
    return readings + rare + CYCLE_BYTES * len(head.cycles)


def _check(head: _Head) -> None:
    """Refuse a head whose parts do not fit together, before anything of that size is made."""
    patterns, shapes = range(len(head.patterns)), range(len(head.shapes))
    if len(head.cycles) > CYCLES_MAX or any(pattern not in patterns for pattern in head.cycles):
        raise Malformed("its cycles have no patterns")
    if any(shape not in shapes for pattern in head.patterns for shape in pattern):
        raise Malformed("its patterns have no shapes")
    if len(head.forms) != len(shapes) or any(shape.size < 0 for shape in head.shapes):
        raise Malformed("its shapes have no forms")
    if any(after.place <= before.place for before, after in pairwise(head.rare)):
        raise Malformed("what its cycles have besides is out of order")
    if (readings := sum(_uses(head))) > READINGS_MAX:
        raise Malformed(f"it claims to hold {readings} readings")
    counts = [len(head.cycles)] * 3 + [readings] * 3
    if any(not each.is_sound or each.count != count for each, count in zip(head.series, counts, strict=True)):
        raise Malformed("its numbers are not as many as its cycles")
    if (claimed := _expanded_bytes(head)) > EXPANDED_BYTES_MAX:
        raise Malformed(f"it claims to hold {claimed} bytes")


def _cycles(head: _Head, in_bits: bytes, in_bytes: bytes, payloads: bytes) -> Iterator[_Cycle]:
    numbers, monos, offsets, ages, skews, durations = _unpacked_numbers(head, in_bits, in_bytes)
    of_shapes, next_of = _unpacked_payloads(head, payloads), _starts(head)
    rare = {each.place: each for each in head.rare}
    for place, pattern in enumerate(head.cycles):
        readings = []
        for index in head.patterns[pattern]:
            shape, at = head.shapes[index], next_of[index]
            next_of[index] = at + 1
            mono_ns = monos[place] - ages[at]
            wall_ns = mono_ns + offsets[place] - skews[at]
            payload = next(of_shapes[index])
            readings.append(
                Block(
                    shape.plan, shape.codec, wall_ns - durations[at], wall_ns, mono_ns, payload, shape.status, shape.lost,
                    shape.plans,
                )
            )  # fmt: skip
        besides = rare.get(place, _NOTHING)
        wall_ns = monos[place] + offsets[place]
        yield _Cycle(numbers[place], wall_ns, monos[place], readings, besides.outcomes, besides.requests)


def _starts(head: _Head) -> list[int]:
    """Return which of all readings is the first of each shape."""
    return list(accumulate(_uses(head), initial=0))


def _unpacked_numbers(head: _Head, in_bits: bytes, in_bytes: bytes) -> list[list[int]]:
    if sum(each.size for each in head.series if not each.width) != len(in_bits):
        raise Malformed("its numbers in bits are cut short")
    if sum(each.size for each in head.series if each.width) != len(in_bytes):
        raise Malformed("its numbers in bytes are cut short")
    numbers = []
    for each in head.series:
        source = in_bytes if each.width else in_bits
        numbers.append(series.unpack(each, source[: each.size]))
        if each.width:
            in_bytes = in_bytes[each.size :]
        else:
            in_bits = in_bits[each.size :]
    return numbers


def _unpacked_payloads(head: _Head, content: bytes) -> list[Iterator[bytes]]:
    sizes = [uses * shape.size for uses, shape in zip(_uses(head), head.shapes, strict=True)]
    if sum(sizes) != len(content):
        raise Malformed("its payloads are cut short")
    payloads, at = [], 0
    for shape, form, size in zip(head.shapes, head.forms, sizes, strict=True):
        if not lanes.fits(form, shape.size):
            raise Malformed(f"payloads of {shape.size} bytes have no form {form}")
        part = content[at : at + size]
        payloads.append(iter(lanes.payloads_of(part, shape.size, form)) if shape.size else repeat(b""))
        at += size
    return payloads
