"""Plain description of the compiled code: columns, kernels, argument names and types. No numba here.

A gateway ships this table and the native library; `kernels/*.py` are for building and development.

Types: `f8` float64, `f4` float32, `i8` int64, `i4` int32, `u1` byte. Every column is a flat buffer. A kernel takes its columns first, in
the order given, then its scalars, then the row counts of the tables named in `sizes` (filled in by the door that binds
it; callers never pass them), and returns one int64: a count >= 0, or a negative error code from `ERRORS`.
"""

from __future__ import annotations

from typing import NamedTuple

from kernels import detectors, scanning
from kernels.detectors import DETECTORS, Detector


class Column(NamedTuple):
    """One argument that is a buffer. `table.name` is where the core keeps it; `access` is r (read) or w (written)."""

    table: str
    name: str
    type: str
    access: str


class Kernel(NamedTuple):
    """One compiled function: `kernels/<module>.py` defines `<name>(*columns, *scalars, *sizes) -> int`."""

    name: str
    module: str
    columns: tuple[Column, ...]
    scalars: tuple[tuple[str, str], ...]  # (argument name, "i8" | "f8")
    sizes: tuple[str, ...] = ()  # tables whose row count follows as `<table>_size`, so that rows can be checked


# --- tables: name -> ((column, type), ...). The core allocates one buffer per table. -----------------------------------

TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    # one row per tag, then one per asset that is watched as a whole
    "tag": (
        ("value", "f8"),  # contract units; NaN when nothing usable was ever decoded or the sample was lost
        ("bits", "i8"),  # raw 64-bit integer of int64/uint64 tags
        ("status", "i8"),  # OPC UA status code, 0..2^32-1
        ("source_time", "i8"),  # wall ns as the device says; Modbus: the response's ingest time
        ("ingest_time", "i8"),  # wall ns
        ("ingest_mono", "i8"),  # boot-clock ns
        ("confirmed_mono", "i8"),  # boot-clock ns: a subscription last vouched for the value; 0 = never
        ("event_time", "i8"),  # ns on a per-tag steady basis: source time (OPC UA) or ingest_mono (Modbus)
        ("processing_time", "i8"),  # wall ns of the cycle that took it
        ("sequence", "i8"),  # samples taken so far
        ("fresh_mark", "i8"),  # pass number that last put the row on the fresh list
        ("scale", "f8"),
        ("offset", "f8"),
        ("range_low", "f8"),  # NaN = none
        ("range_high", "f8"),
        ("rate_max", "f8"),  # per second; NaN = none
        ("rate_value", "f8"),  # last sample the rate is judged against; NaN = none yet
        ("rate_time", "i8"),
        ("stuck_after", "i8"),  # ns; 0 = off
        ("stuck_deadband", "f8"),
        ("stuck_value", "f8"),
        ("stuck_since", "i8"),  # boot-clock ns
        ("stale_after", "i8"),  # ns; 0 = off
        ("stale", "i8"),  # 1 = no sample for too long
        ("source_age_max", "i8"),  # ns; 0 = off
        *((f"{detector.name}_row", "i8") for detector in DETECTORS),  # row in the table of that name, -1 = none
        ("detector_first", "i8"),  # its detectors: rows [first, first + count) of table detector
        ("detector_count", "i8"),
        ("anomaly", "i8"),  # -1 unknown (bad quality or warming up), 0 none, else the bits of the detectors that alarm
        ("anomaly_score", "f8"),
        ("window_first", "i8"),  # first row in table window, -1 = none; the rest by window.next
        ("dependency_first", "i8"),  # programs that read this tag: dependency.program[first:first+count]
        ("dependency_count", "i8"),
    ),
    # one row per tag of a read plan; a plan is a run of rows
    "plan": (
        ("row", "i8"),
        ("offset", "i8"),  # bytes; of registers, less the `base` of the response
        ("type", "i8"),
        ("order", "i8"),
        ("bit", "i8"),
        ("seen", "i8"),  # notifications: values of the item met so far in the pass seen_pass
        ("seen_pass", "i8"),
        ("special", "i8"),  # 1 = `not_a_value` counts, 2 = `scale_offset` counts, 3 = both; nearly always 0
        ("not_a_value", "i8"),
        ("scale_offset", "i8"),  # as offset
    ),
    **detectors.TABLES,
    # assets: tags judged together
    "asset": (
        ("row", "i8"),  # in table tag, behind those of the tags: where its verdict stands
        ("first", "i8"),  # members: table member [first, first + members)
        ("members", "i8"),
        ("samples_first", "i8"),  # rows learnt: table sample [samples_first, samples_first + calibration * members)
        ("factor_first", "i8"),  # table factor [factor_first, factor_first + members (members + 1) / 2)
        ("calibration", "i8"),  # rows to learn
        ("limit", "f8"),  # score that alarms
        ("distance_limit", "f8"),  # distance_ratio that alarms alone
        ("count", "i8"),  # rows taken; 0 = learn anew
        ("mark", "i8"),  # pass number that last took a row
        ("level", "f8"),
        ("level_usual", "f8"),
        ("level_ratio", "f8"),
        ("distance", "f8"),
        ("distance_usual", "f8"),
        ("distance_ratio", "f8"),
        ("score", "f8"),
        ("alarm", "i8"),  # -1 unknown, 0, 1
        ("furthest", "i8"),  # the tag that stands furthest from where it stood
        ("z", "f8"),  # how far, in its usual deviations
    ),
    "member": (
        ("tag", "i8"),
        ("fast", "f8"),  # EWMA of gain 0.2
        ("slow", "f8"),  # of 0.05
        ("fast_middle", "f8"),
        ("fast_scale", "f8"),
        ("slow_middle", "f8"),
        ("slow_scale", "f8"),
        ("mean", "f8"),
        ("white", "f8"),  # scratch
    ),
    "sample": (("value", "f8"),),
    "factor": (("value", "f8"),),
    "order": (("value", "f8"),),  # scratch, as long as the longest calibration
    # windows over the past of one tag: a ring in table ring, [ring_first, ring_first + ring_size)
    "window": (
        ("tag", "i8"),
        ("duration", "i8"),  # ns
        ("next", "i8"),  # next window of the same tag, -1 = last
        ("ring_first", "i8"),
        ("ring_size", "i8"),
        ("head", "i8"),  # place of the newest sample in the ring
        ("count", "i8"),  # samples held
        ("full_since", "i8"),  # event time since which it is covered without a bad sample; 0 = it is not
        ("newest_mono", "i8"),  # boot-clock ns at which the newest sample arrived
        ("sequence", "i8"),  # of the last sample taken from the tag
        ("cut", "i8"),  # event time of the newest sample left out for lack of room; 0 = none
        ("late", "i8"),  # samples left out as too late, ever
        ("lost", "i8"),  # samples left out for lack of room, ever
        ("patience", "i8"),  # ns after a sample in which the next is waited for rather than looked for what has left
    ),
    "ring": (("value", "f8"), ("time", "i8")),  # time: the samples' event time
    # expressions
    "program": (
        ("start", "i8"),  # into table code
        ("length", "i8"),
        ("result", "f8"),  # 1 true, 0 false, NaN unknown; or a number
        ("deadline", "i8"),  # boot-clock ns when it must run again by itself; 0 = none
        ("mark", "i8"),  # pass number that last put it on the due list
    ),
    "code": (("word", "i8"),),  # 256 * argument + operation, or a constant's bits
    "register": (  # what an operation remembers between two runs
        ("since", "i8"),  # boot-clock ns since when its condition holds, or does not any more; 0 = it rests
        ("value", "f8"),  # its state; NaN = none yet
        ("previous", "f8"),  # `prev`: the value before it
        ("result", "f8"),  # what it gave last, for the evidence
    ),
    "dependency": (("program", "i8"),),
    # scratch, sized by the core
    "fresh": (("row", "i8"),),  # rows that changed in this pass
    "due": (("program", "i8"),),  # programs to run in this pass
    "changed": (("program", "i8"),),  # programs whose result changed in this pass
    "stack": (("value", "f8"),),
    "inbox": (("byte", "u1"),),  # payloads of the pass, back to back
    # responses to be decoded in one call
    "response": (("cell", "i8"),),  # 6 cells each; see decode_modbus_registers
    "nest": (("value", "i8"),),  # 32 cells; where a walk through values within values stands
    "out": (("value", "i8"),),  # 8 cells; out[0] = next deadline (boot-clock ns, 0 = none)
    **scanning.TABLES,
}

# Columns that are another column's buffer seen as another type, made by the door: view -> (owner, type). This is how a
# kernel turns bits into a float without libm, views or conversions.
VIEWS: dict[str, tuple[str, str]] = {
    "tag.value_bits": ("tag.value", "i8"),
    "detector.score_bits": ("detector.score", "i8"),
    "code.number": ("code.word", "f8"),
}

STACK_MAX = 16
EVENT_TIME_MAX = 2**62  # ns; windows take no sample from later
# Bits of `tag.anomaly` in an asset's row; those of the tags' detectors count from 0.
ASSET_LEVELS_BIT = 32
ASSET_DISTANCE_BIT = 33
CHANNELS = 5  # ranges of a committee in table channel
NEST_CELLS = 32
OUT_CELLS = 8
RESPONSE_CELLS = 6

# What `judge` looks at; a gateway of whose tags none asks for a check saves it.
CHECK_RANGE = 1
CHECK_AGE = 2
CHECK_RATE = 4
CHECK_STUCK = 8

# Negative results. A kernel never raises.
ERROR_BOUNDS = -1  # a row, offset or length is outside its buffer
ERROR_FORMAT = -2  # bytes from outside cannot be decoded by this kernel (OPCUA: use the library's decoder)
ERROR_INTERNAL = -(2**63)  # the compiled form reported an exception; must never happen
ERRORS = {
    ERROR_BOUNDS: "outside its buffer",
    ERROR_FORMAT: "undecodable",
    ERROR_INTERNAL: "exception in compiled code",
}


def _columns(table: str, names: str, access: str) -> tuple[Column, ...]:
    types = dict(TABLES[table])
    return tuple(Column(table, name, types[name], access) for name in names.split())


def _i8(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, "i8") for name in names)


_PLAN = _columns("plan", "row offset type order bit special not_a_value scale_offset", "r")
_PLAN_BITS = _columns("plan", "row offset bit", "r")
_PLAN_ROW = _columns("plan", "row", "r")
_DECODED = _columns(
    "tag",
    "value bits status source_time ingest_time ingest_mono event_time processing_time sequence stale fresh_mark",
    "w",
)
_VALUE_BITS = (Column("tag", "value_bits", "i8", "w"),)
_FRESH_OUT = _columns("fresh", "row", "w")
_FRESH = _columns("fresh", "row", "r")
# size: bytes of the payload; at: its place in the inbox; first, count: the plan's rows in table plan; fresh_count: rows
# already on the fresh list; then times and the pass number. Result: the new fresh_count.
_DECODE_SCALARS = _i8(
    "at", "size", "first", "count", "fresh_count", "response_time", "response_mono", "now", "pass_number"
)
_DECODE_SIZES = ("inbox", "plan", "tag", "fresh")
_INBOX = _columns("inbox", "byte", "r")
_SHAPE = _columns("shape", "word", "r") + _columns("walk", "cell", "w")
_TERMS = (
    _columns("term", "letter start length count last", "w")
    + _columns("place", "byte", "w")
    + _columns("slot", "term", "w")
)
_SCAN_SIZES = ("walk", "record", "term", "place", "slot")


def _detector(detector: Detector) -> Kernel:
    """Return the kernel of a detector; see `kernels.detectors`."""
    name, children = detector.name, detector.children
    settings = " ".join(column for column, _ in detector.settings)
    written = " ".join(column for column, _ in (*detector.learned, *detector.said))
    columns = (
        _FRESH
        + _columns("tag", f"value status {detector.inputs} {name}_row", "r")
        + _columns(name, settings, "r")
        + _columns(name, written, "w")
        + _columns(name, "detector", "r")
    )
    for child in children:
        columns += _columns(child.name, " ".join(column for column, _ in child.columns), "w")
    sizes = ("fresh", "tag", name, *(child.name for child in children), "detector")
    return Kernel(name, name, columns + _columns("detector", "score alarm", "w"), _i8("fresh_count"), sizes)


KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "decode_modbus_registers",
        "decode_modbus_registers",
        _columns("response", "cell", "r") + (_INBOX + _PLAN + _DECODED + _VALUE_BITS + _FRESH_OUT),
        _i8("responses", "fresh_count", "now", "pass_number"),
        ("response", *_DECODE_SIZES),
    ),
    Kernel(
        "decode_modbus_bits",
        "decode_modbus_bits",
        _INBOX + _PLAN_BITS + _DECODED + _FRESH_OUT,
        _DECODE_SCALARS,
        _DECODE_SIZES,
    ),
    Kernel(
        "decode_opcua",
        "decode_opcua",
        _INBOX + _PLAN_ROW + _DECODED + _VALUE_BITS + _FRESH_OUT,
        _DECODE_SCALARS,
        _DECODE_SIZES,
    ),
    Kernel(
        "decode_opcua_notification",  # out[1] = 1: call again with the next turn
        "decode_opcua_notification",
        _INBOX
        + _PLAN_ROW
        + _columns("plan", "seen seen_pass", "w")
        + _DECODED
        + _VALUE_BITS
        + _FRESH_OUT
        + _columns("nest", "value", "w")
        + _columns("out", "value", "w"),
        _DECODE_SCALARS + _i8("turn"),
        (*_DECODE_SIZES, "nest", "out"),
    ),
    Kernel(
        "screen_notification",  # for the driver, over buffers of its own
        "screen_notification",
        _INBOX + _columns("nest", "value", "w") + _columns("out", "value", "w"),
        _i8("size", "handles", "wanted"),
        ("inbox", "nest", "out"),
    ),
    Kernel(
        "confirm",
        "confirm",
        _PLAN_ROW + _columns("tag", "confirmed_mono", "w"),
        _i8("first", "count", "response_mono"),
        ("plan", "tag"),
    ),
    Kernel(
        "decode_columns",
        "decode_columns",
        _INBOX + _PLAN_ROW + _DECODED + _VALUE_BITS + _FRESH_OUT,
        _DECODE_SCALARS,
        _DECODE_SIZES,
    ),
    Kernel(
        "mark_lost",  # value NaN, the status given, times of the loss; sequence does not advance
        "mark_lost",
        _PLAN_ROW + _columns("tag", "value status ingest_time processing_time fresh_mark", "w") + _FRESH_OUT,
        _i8("first", "count", "fresh_count", "response_time", "now", "pass_number", "lost_status"),
        ("plan", "tag", "fresh"),
    ),
    Kernel(
        "scale",
        "scale",
        _FRESH + _columns("tag", "value", "w") + _columns("tag", "status scale offset", "r"),
        _i8("fresh_count"),
        ("fresh", "tag"),
    ),
    Kernel(
        "judge",
        "judge",
        _FRESH
        + _columns("tag", "value range_low range_high source_time source_age_max event_time rate_max", "r")
        + _columns("tag", "ingest_mono stuck_after stuck_deadband", "r")
        + _columns("tag", "status rate_value rate_time stuck_value stuck_since", "w"),
        _i8("checks", "fresh_count", "now"),
        ("fresh", "tag"),
    ),
    Kernel(
        "stale_check",  # scans every row; rows that turn stale join the fresh list; out[0] = next deadline
        "stale_check",
        _columns("tag", "ingest_mono confirmed_mono stale_after", "r")
        + _columns("tag", "status stale fresh_mark", "w")
        + _FRESH_OUT
        + _columns("out", "value", "w"),
        _i8("tag_count", "fresh_count", "now_mono", "pass_number"),
        ("tag", "fresh", "out"),
    ),
    *(_detector(detector) for detector in DETECTORS),
    Kernel(
        "tail",
        "tail",
        _FRESH
        + _columns("tag", "detector_first detector_count", "r")
        + _columns("detector", "tail_max tail_first score", "r")
        + (Column("detector", "score_bits", "i8", "r"),)
        + _columns("detector", "tail_total rarity alarm", "w")
        + _columns("tail", "count", "w"),
        _i8("fresh_count"),
        ("fresh", "tag", "detector", "tail"),
    ),
    Kernel(
        "hold",
        "hold",
        _FRESH
        + _columns("tag", "ingest_mono detector_first detector_count", "r")
        + _columns("detector", "hold_off hold_for", "r")
        + _columns("detector", "score alarm passed_time passed_score", "w"),
        _i8("fresh_count"),
        ("fresh", "tag", "detector"),
    ),
    Kernel(
        "asset_levels",
        "asset_levels",
        _columns("tag", "value status fresh_mark", "r")
        + _columns("asset", "first members samples_first calibration", "r")
        + _columns("asset", "count mark level level_usual level_ratio score alarm furthest z", "w")
        + _columns("member", "tag", "r")
        + _columns("member", "fast slow fast_middle fast_scale slow_middle slow_scale", "w")
        + _columns("sample", "value", "w")
        + _columns("order", "value", "w"),
        _i8("assets", "pass_number"),
        ("tag", "asset", "member", "sample", "order"),
    ),
    Kernel(
        "asset_distance",
        "asset_distance",
        _columns("asset", "first members samples_first factor_first calibration limit distance_limit", "r")
        + _columns("asset", "count mark level_ratio", "r")
        + _columns("asset", "distance distance_usual distance_ratio score alarm", "w")
        + _columns("member", "fast mean white", "w")
        + _columns("sample", "value", "r")
        + _columns("factor", "value", "w")
        + _columns("order", "value", "w"),
        _i8("assets", "pass_number"),
        ("asset", "member", "sample", "factor", "order"),
    ),
    Kernel(
        "asset_verdict",  # puts an asset's verdict into its row of table tag; result: the new fresh_count
        "asset_verdict",
        _columns("asset", "row mark limit level_ratio distance_ratio score alarm", "r")
        + _columns("tag", "value status source_time ingest_time ingest_mono processing_time sequence fresh_mark", "w")
        + _columns("tag", "anomaly anomaly_score", "w")
        + _FRESH_OUT,
        _i8("assets", "fresh_count", "now", "now_mono", "pass_number"),
        ("asset", "tag", "fresh"),
    ),
    Kernel(
        "verdict",  # merges detector alarms into tag.anomaly and tag.anomaly_score
        "verdict",
        _FRESH
        + _columns("tag", "status detector_first detector_count", "r")
        + _columns("detector", "kind score alarm", "r")
        + _columns("tag", "anomaly anomaly_score", "w"),
        _i8("fresh_count"),
        ("fresh", "tag", "detector"),
    ),
    Kernel(
        "window_update",
        "window_update",
        _FRESH
        + _columns("tag", "value status ingest_mono event_time sequence window_first", "r")
        + _columns("window", "duration next ring_first ring_size", "r")
        + _columns("window", "head count full_since newest_mono sequence cut late lost", "w")
        + _columns("ring", "value time", "w"),
        _i8("fresh_count"),
    ),
    Kernel(
        "due_programs",  # programs that read a fresh row, or whose deadline has come; result: how many
        "due_programs",
        _FRESH
        + _columns("tag", "dependency_first dependency_count", "r")
        + _columns("dependency", "program", "r")
        + _columns("program", "deadline", "r")
        + _columns("program", "mark", "w")
        + _columns("due", "program", "w"),
        _i8("fresh_count", "program_count", "now_mono", "pass_number"),
        ("fresh", "tag", "dependency", "program", "due"),
    ),
    Kernel(
        "rules",  # runs the due programs; result: how many results changed; out[0] = next deadline over all programs
        "rules",
        _columns("due", "program", "r")
        + _columns("program", "start length", "r")
        + _columns("program", "result deadline", "w")
        + _columns("code", "word", "r")
        + (Column("code", "number", "f8", "r"),)
        + _columns("register", "since value previous result", "w")
        + _columns("tag", "value status stale anomaly ingest_mono event_time sequence", "r")
        + _columns("window", "tag duration ring_first ring_size head count full_since newest_mono cut patience", "r")
        + _columns("ring", "value time", "r")
        + _columns("stack", "value", "w")
        + _columns("changed", "program", "w")
        + _columns("out", "value", "w"),
        _i8("due_count", "program_count", "now_mono", "day_time"),
    ),
    Kernel(
        "scan_leaves",
        "scan_leaves",
        _INBOX
        + _SHAPE
        + _columns("record", "start end sound kind id wall evidence personal slice_start slice_end", "w")
        + _TERMS,
        _i8("length", "first_seq", "word", "prefix"),
        ("inbox", *_SCAN_SIZES),
    ),
    Kernel(
        "scan_slices",
        "scan_slices",
        _INBOX
        + _SHAPE
        + _columns("record", "evidence", "r")
        + _columns("record", "slice_start slice_end slice_sound", "w")
        + _TERMS,
        _i8("length", "word"),
        ("inbox", *_SCAN_SIZES),
    ),
)
