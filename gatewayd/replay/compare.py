"""A computed record beside the journalled one: bytes first, and where they differ, field by field for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gatewayd.core.site import Site
from gatewayd.core.state import State
from gatewayd.model.decision import Inputs, NewRecord
from gatewayd.model.record import Body, EvidenceSlice, kind_of
from gatewayd.replay.report import FieldDifference, Sample
from gatewayd.replay.stream import Entry

NAME: Final = "actor_name"
PERSONAL: Final = ("reason_text", NAME)  # salted hashes: the salt is chance, the text is not told
SAMPLES_SHOWN: Final = 16
_encoder = msgspec.msgpack.Encoder()
_slice_decoder = msgspec.msgpack.Decoder(EvidenceSlice)


def is_same(record: NewRecord, entry: Entry) -> bool:
    """Say whether a computed record has the very bytes of the journalled one; its evidence too, by the digest in it."""
    return _encoder.encode(body_like(record, entry.leaf.body)) == entry.body_bytes()


def body_like(record: NewRecord, recorded: Body) -> Body:
    """Return a computed body with the salted hashes of the journalled one: of a reason only where both have one.

    Inputs and snapshots keep no names and no words of people, only whether there was a reason.
    """
    if type(record.body) is not type(recorded):
        return record.body
    hashes = {name: getattr(recorded, name, b"") for name in PERSONAL if name in record.personal or name == NAME}
    return msgspec.structs.replace(record.body, **{name: digest for name, digest in hashes.items() if digest})


def kind_name(body: Body) -> str:
    """Return what people call a record's kind."""
    return kind_of(body).name.lower()


def differing_fields(recorded: Body, computed: Body) -> tuple[FieldDifference, ...]:
    """Return the fields of two bodies of one kind that have other bytes."""
    names = [field.name for field in msgspec.structs.fields(recorded)]
    pairs = ((name, getattr(recorded, name), getattr(computed, name)) for name in names)
    return tuple(_told(pairs))


def differing_evidence(recorded: bytes | None, computed: bytes) -> tuple[FieldDifference, ...]:
    """Return what two evidence slices say differently; nothing if one of them is not there."""
    if not recorded or not computed or recorded == computed:
        return ()
    before, after = _slice_decoder.decode(recorded), _slice_decoder.decode(computed)
    return tuple(_told(_pairs(_cells(before), _cells(after))))


def tags_of(evidence: bytes) -> list[str]:
    """Return the tags that a slice cites."""
    return [row.tag for row in _slice_decoder.decode(evidence).rows] if evidence else []


def samples_of(state: State, site: Site, inputs: Inputs, first_tags: list[str]) -> tuple[tuple[Sample, ...], int]:
    """Return some of the tags that a cycle's blocks read, as the twin holds them now, and how many they are."""
    plans = [plan for block in inputs.blocks for plan in range(block.plan, block.plan + block.plans)]
    rows = list(dict.fromkeys(row.row for plan in plans for row in site.plans[plan].rows))
    wanted = set(first_tags)
    shown = sorted(rows, key=lambda row: site.tags[row].label not in wanted)[:SAMPLES_SHOWN]
    value, status, source = (state.column(f"tag.{name}") for name in ("value", "status", "source_time"))
    samples = (Sample(site.tags[row].label, value[row], status[row], source[row]) for row in shown)
    return tuple(samples), len(rows)


def in_words(inputs: Inputs, site: Site) -> tuple[str, ...]:
    """Return what a cycle was given, a line each; names and reasons of people are left out."""
    devices: dict[str, int] = {}
    for block in inputs.blocks:
        device = site.plans[block.plan].device
        devices[device] = devices.get(device, 0) + 1
    lines = [f"{count} responses of {device}" for device, count in devices.items()]
    lines += [f"outcome of decision {each.decision_id}: {each.result.value}" for each in inputs.outcomes]
    lines += [f"request {type(each).__struct_config__.tag}" for each in inputs.requests]
    return tuple(lines) or ("nothing but the time",)


def _cells(evidence: EvidenceSlice) -> dict[str, Any]:
    cells: dict[str, Any] = {"expression": evidence.expression}
    for row in evidence.rows:
        cells |= {f"{row.tag}.{name}": value for name, value in msgspec.structs.asdict(row).items() if name != "tag"}
    return cells | {term.text: term.value for term in evidence.terms}


def _pairs(recorded: dict[str, Any], computed: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*recorded, *computed)):
        yield name, recorded.get(name, "-"), computed.get(name, "-")


def _told(pairs: Iterator[tuple[str, Any, Any]]) -> Iterator[FieldDifference]:
    for name, recorded, computed in pairs:
        if _encoder.encode(recorded) != _encoder.encode(computed):
            yield FieldDifference(name, _text(recorded), _text(computed))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:16]
    return str(msgspec.to_builtins(value)) if isinstance(value, msgspec.Struct | tuple) else str(value)
