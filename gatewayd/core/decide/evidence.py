"""The evidence slice: the rows and terms a decision read, copied at the moment it read them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gatewayd.core.detect.asset_words import asset_alarming
from gatewayd.core.detect.words import alarming
from gatewayd.core.expr.terms import term_value
from gatewayd.core.site import Site
from gatewayd.core.state import State
from gatewayd.model.record import DetectorEvidence, EvidenceRow, EvidenceSlice, EvidenceTerm

_ENCODE = msgspec.msgpack.Encoder().encode


def slice_of(
    state: State,
    site: Site,
    *,
    cycle: int,
    now_mono_ns: int,
    programs: Iterable[int],
    rows: Iterable[int] = (),
) -> bytes:
    """Return the canonical bytes of what these programs read, plus the given rows; with a verdict the tags it is on.

    The expression text lists each program once, in order, one per line.
    """
    compiled = [site.programme.programs[program] for program in dict.fromkeys(programs) if program >= 0]
    terms = {(term.text, term.row, term.register): term for program in compiled for term in program.terms}
    read = {row for program in compiled for row in program.rows} | set(rows)
    wanted = sorted(read.union(*(asset.members for asset in site.assets if asset.row in read)))
    return _ENCODE(
        EvidenceSlice(
            cycle=cycle,
            expression="\n".join(program.text for program in compiled),
            rows=evidence_rows(state, site, wanted),
            terms=tuple(
                EvidenceTerm(text=term.text, value=term_value(term, state.columns, now_mono_ns))
                for term in terms.values()
            ),
        )
    )


def evidence_rows(state: State, site: Site, rows: Iterable[int]) -> tuple[EvidenceRow, ...]:
    """Copy rows of the twin."""
    columns = state.columns
    values, status = columns["tag.value"], columns["tag.status"]
    source, ingest, processing = (
        columns["tag.source_time"],
        columns["tag.ingest_time"],
        columns["tag.processing_time"],
    )
    anomaly, score = columns["tag.anomaly"], columns["tag.anomaly_score"]
    copies = []
    for row in rows:
        tag = site.tags[row] if row < len(site.tags) else None
        copies.append(
            EvidenceRow(
                tag=site.label(row),
                device=tag.device if tag else "",
                value=values[row],
                status=status[row],
                source_time_ns=source[row],
                ingest_time_ns=ingest[row],
                processing_time_ns=processing[row],
                units=tag.units if tag else "",
                anomaly=anomaly[row],
                anomaly_score=score[row],
                unusual=alarming(columns, row) if tag else _of_asset(state, site, row),
            )
        )
    return tuple(copies)


def _of_asset(state: State, site: Site, row: int) -> tuple[DetectorEvidence, ...]:
    plan = site.assets[row - len(site.tags)]
    return asset_alarming(state.columns, plan, [site.label(member) for member in plan.members])
