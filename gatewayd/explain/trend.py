"""How the tags of a decision went around it: from the flight recorder's inputs if they are kept, else from the evidence.

The recorded inputs are decoded with the configuration that the decision cites, as the twin decoded them then; no rule runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from gatewayd.core.contract.decode import TURNS_MAX, passes, take
from gatewayd.core.contract.judge import judge
from gatewayd.core.kernels import BoundKernel, Kernels
from gatewayd.core.site import NS, Site, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind
from gatewayd.device.build import plan_reads
from gatewayd.errors import UNDECODABLE, GatewayError
from gatewayd.journal.blocks.sealed import Sealed, inputs_of, sealed_blocks, site_bytes_of, site_digest_of
from gatewayd.model import quality
from gatewayd.model.account import TREND_POINTS_MAX, Account, Trend, TwinTag
from gatewayd.model.block import Block
from gatewayd.model.decision import RUN_SHIFT, Inputs
from gatewayd.model.view import Explanation, number
from gatewayd.site.digest import digests, site_from_bytes
from gatewayd.store.env import Store

BEFORE_NS: Final = 600 * NS
AFTER_NS: Final = 300 * NS
BLOCKS_BEFORE: Final = 10
BLOCKS_AFTER: Final = 5
TAGS_MAX: Final = 6  # that are drawn
TWIN_TAGS_MAX: Final = 64
SAMPLES_MAX: Final = 200_000  # of one tag, before they are thinned

Samples = list[tuple[int, float | None]]  # (ingest time, value; None = not Good)


def with_history(store: Store, found: Explanation, kernels: Kernels) -> Explanation:
    """Return an explanation with trends, and the twin of the asset where the recorder still has it.

    Args:
        store: open.
        found: without trends.
        kernels: compiled code, to decode with.
    """
    account = found.account or Account()
    lack = "the trend around it: the inputs of its cycle are not sealed yet, or have expired"
    try:
        told = _recorded(store, found, kernels)
    except (GatewayError, *UNDECODABLE) as error:
        told, lack = None, f"the trend around it: {error}"
    if told is None:
        lacks = (*account.not_recorded, lack)
        account = msgspec.structs.replace(account, trends=of_evidence(found), not_recorded=lacks)
    else:
        account = msgspec.structs.replace(account, trends=told[0], twin=told[1])
    return msgspec.structs.replace(found, account=account)


def of_evidence(found: Explanation) -> tuple[Trend, ...]:
    """Return the samples of the evidence slice as trends of one point each."""
    return tuple(
        Trend(
            tag=sample.tag,
            units=sample.units,
            source="evidence",
            times_ns=(sample.ingest_time_ns,),
            values=(sample.value if quality.is_good(sample.status) else None,),
        )
        for sample in found.samples[:TAGS_MAX]
        if sample.ingest_time_ns
    )


def thinned(samples: Samples, points_max: int) -> Samples:
    """Return at most so many samples: of each of equal stretches the least, the greatest and the first that is not Good."""
    if len(samples) <= points_max:
        return samples
    stretches = max(1, points_max // 3)
    kept: Samples = []
    for stretch in range(stretches):
        first, end = stretch * len(samples) // stretches, (stretch + 1) * len(samples) // stretches
        good = [(value, place) for place in range(first, end) if (value := samples[place][1]) is not None]
        lost = next((place for place in range(first, end) if samples[place][1] is None), None)
        places = {min(good)[1], max(good)[1]} if good else set()
        kept += [samples[place] for place in sorted(places | ({lost} if lost is not None else set()))]
    return kept


def _recorded(
    store: Store, found: Explanation, kernels: Kernels
) -> tuple[tuple[Trend, ...], tuple[TwinTag, ...]] | None:
    """Return trends and twin from recorded inputs, None if those of the decision's cycle are not kept."""
    cycle, digest = found.detail.cycle, bytes.fromhex(found.detail.versions.site)
    blocks = _around(sealed_blocks(store), cycle)
    if not blocks:
        return None
    config = site_from_bytes(site_bytes_of(store, digest))
    site = compile_site(config, plan_reads=plan_reads, digests=digests(config))
    past = _Past(site, kernels, found)
    for block in blocks:
        if site_digest_of(store, block) == digest:
            for inputs in inputs_of(store, block):
                past.feed(inputs)
    return past.trends(), past.twin


def _around(blocks: Sequence[Sealed], cycle: int) -> Sequence[Sealed]:
    """Return the blocks of the same run around a cycle; none if its own is not among them."""
    same = [block for block in blocks if block.first_cycle >> RUN_SHIFT == cycle >> RUN_SHIFT]
    own = [place for place, block in enumerate(same) if block.first_cycle <= cycle <= block.last_cycle]
    return same[max(0, own[-1] - BLOCKS_BEFORE) : own[-1] + BLOCKS_AFTER + 1] if own else ()


class _Past:
    """A twin that is fed recorded inputs, and what it held of the tags that are wanted."""

    def __init__(self, site: Site, kernels: Kernels, found: Explanation) -> None:
        self._site = site
        self._code = kernels
        self._cycle = found.detail.cycle
        self._decided_ns = found.detail.decision.time_ns
        self._rows = _rows(site, found)
        self._of_asset = _rows_of_asset(site, found.detail.decision.point)
        self._plans = _plans(site, {*self._rows, *self._of_asset})
        self._samples: dict[int, Samples] = {row: [] for row in self._rows}
        self._state: State | None = None
        self._kernels: Mapping[str, BoundKernel] = {}
        self.twin: tuple[TwinTag, ...] = ()

    def feed(self, inputs: Inputs) -> None:
        """Take a cycle's blocks, if they lie near the decision."""
        if not -BEFORE_NS <= inputs.wall_ns - self._decided_ns <= AFTER_NS:
            return
        if self._state is None:
            self._state = State(self._site, self._code, now_mono_ns=inputs.mono_ns)
            self._kernels = bind(self._code, self._state)
        blocks = [
            block for block in inputs.blocks if not self._plans.isdisjoint(range(block.plan, block.plan + block.plans))
        ]
        for first_turn in passes(blocks):
            turns = [first_turn]
            for turn, taken in enumerate(turns):
                unfinished = self._take(self._state, taken, turn, inputs)
                if unfinished and turn + 1 < TURNS_MAX:
                    turns.append(unfinished)
        if inputs.cycle == self._cycle:
            self.twin = tuple(self._twin(self._state))

    def _take(self, state: State, blocks: Sequence[Block], turn: int, inputs: Inputs) -> list[Block]:
        state.pass_number += 1
        wall_ns = inputs.wall_ns
        fresh, unfinished = take(state, self._kernels, blocks, now_wall_ns=wall_ns, turn=turn)
        tags = len(self._site.tags)
        judge(state, self._kernels, fresh, tag_count=tags, now_wall_ns=wall_ns, now_mono_ns=inputs.mono_ns)
        times, values, status = (state.column(f"tag.{name}") for name in ("ingest_time", "value", "status"))
        for row, samples in self._samples.items():
            time_ns = times[row]
            if time_ns and (not samples or samples[-1][0] < time_ns) and len(samples) < SAMPLES_MAX:
                is_good = quality.is_good(status[row]) and math.isfinite(values[row])
                samples.append((time_ns, values[row] if is_good else None))
        return unfinished

    def _twin(self, state: State) -> Iterator[TwinTag]:
        for row in self._of_asset:
            status = state.column("tag.status")[row]
            value = number(state.column("tag.value")[row])
            tag = self._site.tags[row]
            yield TwinTag(tag=tag.label, value=value, units=tag.units, quality=quality.name(status), status=status)

    def trends(self) -> tuple[Trend, ...]:
        """Return what was held, thinned."""
        told = {row: samples for row, samples in self._samples.items() if samples}
        kept = {row: thinned(samples, TREND_POINTS_MAX // len(told)) for row, samples in told.items()}
        return tuple(
            Trend(
                tag=self._site.tags[row].label,
                units=self._site.tags[row].units,
                source="recorder",
                times_ns=tuple(time_ns for time_ns, _ in samples),
                values=tuple(value for _, value in samples),
            )
            for row, samples in kept.items()
        )


def _rows(site: Site, found: Explanation) -> list[int]:
    """Return the rows to draw: the point, its read-back, then the samples, numbers only."""
    name = found.detail.decision.point
    place = site.point_of.get(name)
    rows = [] if place is None else [site.points[place].row, site.points[place].readback_row]
    rows += [site.rows[sample.tag] for sample in found.samples if sample.tag in site.rows]
    return list(dict.fromkeys(rows))[:TAGS_MAX]


def _rows_of_asset(site: Site, point: str) -> list[int]:
    asset = point.partition(".")[0]
    return [tag.row for tag in site.tags if tag.alias.startswith(f"{asset}.")][:TWIN_TAGS_MAX]


def _plans(site: Site, rows: set[int]) -> set[int]:
    return {plan.index for plan in site.plans if any(row.row in rows for row in plan.rows)}
