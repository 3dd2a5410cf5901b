"""Runs recorded inputs through `core.step` again, and compares every record that comes out with the journalled one.

A chain of blocks begins with a snapshot of the core and goes on while no cycle is missing. Where one ends, the reason is
told: a block has expired, a run ended, other rules came into force. The first difference ends the replay: what follows from
it differs, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Final

from gatewayd.core.kernels import BoundKernel, Kernels
from gatewayd.core.site import Site
from gatewayd.core.snapshot import restore
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.errors import GatewayError, JournalDamaged, KernelError, StoreError
from gatewayd.model.decision import RUN_SHIFT, Inputs, NewRecord
from gatewayd.model.record import AlarmEvent, BlockSealed, Decision, RuleEvent
from gatewayd.replay import compare
from gatewayd.replay.report import Difference, Gap, Report
from gatewayd.replay.source import Block, Source, inputs_of, site_of, state_of
from gatewayd.replay.stream import Entry, Passed, Stream

SITES_KEPT: Final = 2
NOT_KEPT: Final = "they are older than the first block that can be replayed"
NO_STATE: Final = "no snapshot that leads to them is kept: blocks before them have expired, or it was too large to keep"
UNSEALED: Final = "their inputs are in no sealed block: not yet, or power was cut before"

Progress = Callable[[str], None]


class Chain:
    """A core that repeats cycles.

    Args:
        state: as it was before the first cycle.
        site: what it was made for.
        kernels: compiled code.
        cycle: the last that the state has seen.
    """

    def __init__(self, state: State, site: Site, kernels: Kernels, *, cycle: int) -> None:
        self.state = state
        self.site = site
        self.kernels: Mapping[str, BoundKernel] = bind(kernels, state)
        self.cycle = cycle
        self.mono_ns = 0
        self.rows = [len(plan.rows) for plan in site.plans]

    def goes_on_with(self, block: BlockSealed) -> bool:
        """Say whether a block's first cycle is the next one of this core."""
        return (block.first_cycle, block.plans_digest) == (self.cycle + 1, self.site.digests.site)


class Replay:
    """One replay; `report` is filled as it goes on, so that an interrupted one tells what it found.

    Args:
        source: what was recorded.
        kernels: compiled code.
        progress: is told where it is, now and then.
        any_kernels: these need not be the ones that made the recording.
    """

    def __init__(
        self, source: Source, kernels: Kernels, *, progress: Progress = lambda text: None, any_kernels: bool = False
    ) -> None:
        self.report = Report()
        self._source = source
        self._kernels = kernels
        self._progress = progress
        self._any_kernels = any_kernels
        self._chain: Chain | None = None
        self._left = 0  # the last cycle of the chain before, if there was one
        self._first = 0
        self._stream = Stream(source, source.first)
        self._refused: GatewayError | None = None
        self._site = lru_cache(SITES_KEPT)(lambda digest: site_of(source, digest))
        self._sites: set[bytes] = set()

    def run(self, first: int = 0, last: int | None = None) -> Report:
        """Replay the blocks in whose cycles the records from `first` to `last` were made; None = to the end.

        Raises:
            StoreError: nothing can be replayed.
            KernelError: all of it was recorded with other compiled code.
            JournalDamaged: a block, a snapshot or a configuration is not what was kept.
        """
        self._first = first
        blocks = self._chosen(first, last)
        for place, block in enumerate(blocks):
            self._progress(f"block {place + 1} of {len(blocks)}, {self.report.decisions} decisions are equal")
            self._take(block)
            if self._is_over():
                return self.report
        if last is None:
            self._leave(self._source.end)
        if not self.report.cycles:
            raise self._refused or self._nothing()
        return self.report

    # --- from block to block ------------------------------------------------------------------------------------------

    def _chosen(self, first: int, last: int | None) -> list[Block]:
        """Return the blocks to take: from the snapshot before record `first` on."""
        # Of a block that began before the first record here, some records are not here to be compared.
        blocks = [block for block in self._source.blocks() if block.sealed.records >= self._source.first]
        starts = [place for place, block in enumerate(blocks) if block.sealed.state and block.sealed.records <= first]
        begin = max(starts, default=0)
        if last is None:
            return blocks[begin:]
        return list(takewhile(lambda block: block.sealed.records <= last, blocks[begin:]))

    def _take(self, block: Block) -> None:
        if self._chain is None or not self._chain.goes_on_with(block.sealed):
            self._enter(block.sealed)
        if self._chain is None or self._is_over():
            return
        inputs = inputs_of(self._source, block.sealed)
        if not inputs:
            self._give_up("their block has expired meanwhile", block.sealed)
        for each in inputs:
            if each.cycle != self._chain.cycle + 1:
                self._give_up(f"cycle {each.cycle} follows cycle {self._chain.cycle} in one block", block.sealed)
                return
            self._repeat(self._chain, each, block)
            if self._is_over():
                return
        self.report.sites = len(self._sites)

    def _enter(self, block: BlockSealed) -> None:
        """Leave the chain before and begin another with the snapshot beside a block."""
        try:
            content = state_of(self._source, block)
            site = self._site(block.plans_digest)
            restored = None if content is None else self._restored(content, site)
        except JournalDamaged:
            raise  # what was altered is no gap
        except (KernelError, StoreError) as error:
            self._refused = self._refused or error
            self._give_up(error.message, block)
            return
        if restored is None:
            self._give_up(NO_STATE, block)
            return
        self._leave(block.records, block)
        if self._is_over():
            return
        state, cycle = restored
        self._chain = Chain(state, site, self._kernels, cycle=cycle)
        self._sites.add(block.plans_digest)

    def _restored(self, content: bytes, site: Site) -> tuple[State, int]:
        return restore(content, site, self._kernels, any_kernels=self._any_kernels)

    def _give_up(self, why: str, block: BlockSealed) -> None:
        """Name a block that cannot be replayed; gaps for one reason that follow each other are one."""
        self._end_chain()
        gaps = self.report.gaps
        if gaps and gaps[-1].why == why:
            gaps[-1] = Gap(why, gaps[-1].first_cycle, block.last_cycle)
        else:
            gaps.append(Gap(why, block.first_cycle, block.last_cycle))

    def _end_chain(self) -> None:
        if self._chain is not None:
            self._left = self._chain.cycle
            self._chain = None

    def _leave(self, seq: int, block: BlockSealed | None = None) -> None:
        """Pass what stands between the chain before and record `seq`, where `block` begins; name what was left out."""
        if self._left == 0 and self._chain is None:
            self._begin(seq, block)
            return
        self._end_chain()
        entry = self._stream.peek()
        if entry is not None and entry.seq < seq and 0 < _cycle_of(entry) <= self._left:
            self._differ_without(entry, "it was journalled, but not computed")
            return
        passed = self._stream.pass_to(seq)
        self._stream.forget()
        self.report.restarts += len(passed.starts)
        self._name_gap(passed, block)

    def _begin(self, seq: int, block: BlockSealed | None) -> None:
        """Skip what is older than the first chain, without reading it."""
        self._stream = Stream(self._source, max(seq, self._source.first))
        is_whole = block is None or block.first_cycle == (1 << RUN_SHIFT) + 1
        if not is_whole and not self.report.gaps and seq > self._first:
            self.report.gaps.append(Gap(NOT_KEPT, decisions=-1))

    def _name_gap(self, passed: Passed, block: BlockSealed | None) -> None:
        gaps, first = self.report.gaps, self._left + 1
        last = block.first_cycle - 1 if block else 0
        is_from_start = last == last >> RUN_SHIFT << RUN_SHIFT  # the block begins its run
        if gaps and gaps[-1].first_cycle >= first:  # named as it was met
            gaps[-1] = Gap(gaps[-1].why, gaps[-1].first_cycle, gaps[-1].last_cycle, passed.decisions)
        elif block is None:
            if passed.records:
                gaps.append(Gap(UNSEALED, first, 0, passed.decisions))
        elif passed.starts:
            if passed.records or passed.unclean or not is_from_start:
                gaps.append(Gap(_why(passed, first, last), first, 0 if is_from_start else last, passed.decisions))
        elif last >= first:
            gaps.append(Gap(_why(passed, first, last), first, last, passed.decisions))
        elif set(passed.kinds) - {RuleEvent, AlarmEvent}:  # a swap ends rules, and nothing else
            gaps.append(Gap("other rules came into force, with records of no cycle", first, last, passed.decisions))

    def _is_over(self) -> bool:
        return self.report.difference is not None

    # --- from cycle to cycle ------------------------------------------------------------------------------------------

    def _repeat(self, chain: Chain, inputs: Inputs, block: Block) -> None:
        report = self.report
        if chain.mono_ns:
            report.recorded_ns += inputs.mono_ns - chain.mono_ns
        entry = self._stream.peek()
        if entry is not None and self._is_older(entry, chain, inputs.mono_ns):
            self._differ_without(entry, f"it was journalled by cycle {chain.cycle} or before, but not computed")
            return
        effects = step(chain.state, chain.site, chain.kernels, inputs)
        chain.cycle, chain.mono_ns = inputs.cycle, inputs.mono_ns
        report.cycles += 1
        report.samples += sum(sum(chain.rows[each.plan : each.plan + each.plans]) for each in inputs.blocks)
        for place, record in enumerate(effects.records):
            if not self._match(record, block, is_first=place == 0):
                if place == 0 and self._stream.lost:
                    report.lost += len(effects.records)  # a cycle's records are durable together, or none
                    return
                self._differ(chain, record, inputs, block)
                return
        entry = self._stream.peek()
        if entry is not None and isinstance(entry.leaf.body, Decision) and entry.leaf.body.cycle <= inputs.cycle:
            self._differ_without(entry, f"it was journalled for cycle {entry.leaf.body.cycle}, but not computed")

    def _is_older(self, entry: Entry, chain: Chain, mono_ns: int) -> bool:
        """Say whether a record was committed before the cycle of this time began, so that it belongs to one before."""
        is_of_this_boot = entry.leaf.boot_id == chain.state.boot_id
        return is_of_this_boot and bool(chain.mono_ns) and entry.leaf.boot_ns < mono_ns and not self._stream.lost

    def _match(self, record: NewRecord, block: Block, *, is_first: bool) -> bool:
        """Say whether a record is the next journalled one, and take that."""
        entry = self._stream.peek()
        if entry is None or entry.seq > block.seq or not compare.is_same(record, entry):
            return False
        self._stream.take()
        report = self.report
        report.first = entry.seq if report.first < 0 else report.first
        report.last = entry.seq
        report.records += 1
        report.decisions += isinstance(record.body, Decision)
        report.evidence += bool(record.evidence)
        return True

    # --- the first difference -----------------------------------------------------------------------------------------

    def _differ(self, chain: Chain, record: NewRecord, inputs: Inputs, block: Block) -> None:
        entry = self._stream.peek()
        if entry is not None and entry.seq > block.seq:
            entry = None
        recorded = entry.leaf.body if entry else None
        computed = compare.body_like(record, recorded) if recorded else record.body
        is_one_kind = type(recorded) is type(computed)
        evidence = None
        if entry is not None and (digest := getattr(recorded, "evidence", b"")):
            evidence = self._source.evidence(entry.seq, digest)
        samples, in_all = compare.samples_of(chain.state, chain.site, inputs, compare.tags_of(record.evidence))
        self.report.difference = Difference(
            what=_what(entry, compare.kind_name(record.body), is_one_kind=is_one_kind),
            cycle=inputs.cycle,
            wall_ns=inputs.wall_ns,
            seq=entry.seq if entry else -1,
            recorded=compare.kind_name(recorded) if recorded else "",
            computed=compare.kind_name(record.body),
            fields=compare.differing_fields(recorded, computed) if recorded and is_one_kind else (),
            evidence=compare.differing_evidence(evidence, record.evidence),
            inputs=compare.in_words(inputs, chain.site),
            samples=samples,
            samples_in_all=in_all,
        )

    def _differ_without(self, entry: Entry, what: str) -> None:
        """Tell of a journalled record that the replay did not make."""
        kind = compare.kind_name(entry.leaf.body)
        self.report.difference = Difference(
            what=f"record {entry.seq} ({kind}): {what}",
            cycle=_cycle_of(entry),
            wall_ns=entry.leaf.wall_ns,
            seq=entry.seq,
            recorded=kind,
        )

    def _nothing(self) -> StoreError:
        gaps = self.report.gaps
        why = gaps[0].why if gaps else "it holds no sealed block of inputs"
        return StoreError(
            f"nothing in {self._source.place} can be replayed: {why}",
            remedy="The daemon seals a block each storage.evidence_block_s seconds and when it stops; an export needs "
            "--for-replay.",
        )


def _cycle_of(entry: Entry) -> int:
    body = entry.leaf.body
    return body.cycle if isinstance(body, Decision) else 0


def _why(passed: Passed, first: int, last: int) -> str:
    """Say why cycles are missing, as far as the records between tell."""
    sealed = sum(
        min(end, last) - max(begin, first) + 1 for begin, end in passed.sealed if end >= first and begin <= last
    )
    parts = []
    if sealed > 0:
        parts.append("their blocks have expired")
    if passed.unclean:
        parts.append("the unsealed tail of a run is lost: power was cut, or the daemon was killed")
    if len(passed.starts) > 1:
        parts.append(f"{len(passed.starts) - 1} whole runs between have no block that can be replayed")
    return "; ".join(parts) or UNSEALED


def _what(entry: Entry | None, computed: str, *, is_one_kind: bool) -> str:
    if entry is None:
        return f"a record ({computed}) was computed, but not journalled"
    if is_one_kind:
        return f"record {entry.seq} ({computed}) was computed with other content"
    return f"record {entry.seq} is of kind {compare.kind_name(entry.leaf.body)}; computed was one of kind {computed}"
