"""The flight recorder: what a cycle saw can be read again, within a quota, or its loss is counted."""

from __future__ import annotations

import asyncio
import os
import threading
from hashlib import sha256

import msgspec
import pytest
import zstandard

from gatewayd.core.snapshot import Captured, Column
from gatewayd.core.texts import HeldTexts
from gatewayd.errors import JournalDamaged, StoreError, StoreFull
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.blocks.gaps import NOT_SEALED, PINS_FILL, TAIL, TOO_SLOW
from gatewayd.journal.blocks.pins import RETAINED, Retained
from gatewayd.journal.blocks.recorder import BLOCK_BYTES_MAX, WAITING_BLOCKS_MAX, Recorder
from gatewayd.journal.blocks.states import Camera, PackedState, pack_state, unpack_state
from gatewayd.model.block import Block, Codec
from gatewayd.model.decision import Inputs, SetOverride, without_texts
from gatewayd.model.record import BlockSealed, Gap, Kind
from gatewayd.store.tables import Table
from tests.journal.samples import ANA, SIGNER, command, decision, open_journal, open_store, outcome

SECOND = 1_000_000_000


def inputs(cycle: int, payload: bytes = b"\x00\x01") -> Inputs:
    block = Block(0, Codec.MODBUS_REGISTERS, cycle, cycle + 1, cycle + 2, payload)
    return Inputs(cycle, 1000 + cycle, 2000 + cycle, (block,))


@pytest.fixture
def recorder(journal, clock):
    return Recorder(journal, clock, 8 << 20, block_s=10, samples_per_plan=(125,), plans_digest=bytes(32))


async def test_a_cycle_is_read_back_before_and_after_its_block_is_sealed(recorder, journal, store):
    for cycle in range(5, 15):
        recorder.take(inputs(cycle))
    assert await recorder.read(7) == inputs(7)
    await recorder.seal()
    assert await recorder.read(7) == inputs(7)
    (record,) = journal.newest(Kind.BLOCK, 9)
    body = record.leaf.body
    assert (body.first_cycle, body.last_cycle, body.samples, body.plans_digest) == (5, 14, 1250, bytes(32))
    stored = store.get(Table.BLOCK, body.digest)
    assert (len(stored), sha256(stored).digest()) == (body.size, body.digest)
    assert verify_store(store, SIGNER.vkey).problem is None


async def test_names_and_reasons_are_not_kept_for_a_sealed_block_cannot_forget(recorder):
    request = SetOverride("pump_1.speed", 40.0, SECOND, "bearing check", ANA, "1")
    recorder.take(Inputs(1, 1, 2, requests=(request,)))
    (kept,) = (await recorder.read(1)).requests
    assert kept == without_texts(request)


async def test_a_block_is_sealed_when_it_is_old_enough(recorder, journal, clock):
    task = asyncio.ensure_future(recorder.run())
    recorder.take(inputs(1))
    clock._move_to(clock.monotonic_ns() + 9 * SECOND)
    recorder.take(inputs(2))
    clock._move_to(clock.monotonic_ns() + 2 * SECOND)
    recorder.take(inputs(3))
    async with asyncio.timeout(5):
        while not journal.newest(Kind.BLOCK, 1):  # noqa: ASYNC110 - the journal tells nobody
            await asyncio.sleep(0)
    body = journal.newest(Kind.BLOCK, 1)[0].leaf.body
    assert (body.first_cycle, body.last_cycle) == (1, 3)
    assert await recorder.read(3) == inputs(3)
    task.cancel()


async def test_a_block_is_sealed_when_it_is_large_enough(recorder, journal):
    for cycle in range(1, 4):
        recorder.take(inputs(cycle, bytes(BLOCK_BYTES_MAX // 2 - 100)))
    await recorder.seal()
    spans = [(r.leaf.body.first_cycle, r.leaf.body.last_cycle) for r in journal.newest(Kind.BLOCK, 9)]
    assert spans == [(3, 3), (1, 2)]


async def test_cycle_numbers_that_begin_again_find_the_newest_run(recorder):
    for cycle in range(1, 20):
        recorder.take(inputs(cycle, b"first"))
    await recorder.seal()
    for cycle in range(1, 5):
        recorder.take(inputs(cycle, b"second"))
    await recorder.seal()
    assert await recorder.read(3) == inputs(3, b"second")
    assert await recorder.read(15) == inputs(15, b"first")


async def test_an_unknown_cycle_is_an_error_with_a_remedy(recorder):
    recorder.take(inputs(3))
    await recorder.seal()
    for cycle in (2, 4):
        with pytest.raises(StoreError, match=f"cycle {cycle} ") as caught:
            await recorder.read(cycle)
        assert "evidence_mb" in caught.value.remedy


async def test_under_the_quota_blocks_without_decisions_go_first_then_the_oldest(journal, clock, store):
    recorder = Recorder(journal, clock, 45_000, block_s=10)
    await journal.commit([decision(1, cycle=1)])
    for cycle in range(1, 7):
        recorder.take(inputs(cycle, os.urandom(10_000)))
        await recorder.seal()
    assert recorder.blocks_expired == 2
    assert recorder.kept_bytes <= 45_000
    assert (await recorder.read(1)).cycle == 1  # a decision was made in it
    for cycle in (2, 3):
        with pytest.raises(StoreError, match="not recorded"):
            await recorder.read(cycle)
    again = Recorder(journal, clock, 45_000, block_s=10)
    assert again.kept_bytes == recorder.kept_bytes
    assert store.read(lambda reading: reading.count(Table.BLOCK)) == 4
    report = verify_store(store, SIGNER.vkey)
    assert (report.problem, report.evidence_missing) == (None, 2)


async def test_what_waits_to_be_sealed_is_bounded_and_its_loss_counted(recorder):
    for cycle in range(1, WAITING_BLOCKS_MAX + 4):
        recorder.take(inputs(cycle, bytes(BLOCK_BYTES_MAX)))
    assert recorder.blocks_dropped == 3
    await recorder.seal()
    with pytest.raises(StoreError):
        await recorder.read(3)
    assert (await recorder.read(4)).cycle == 4


async def test_a_full_store_loses_blocks_makes_room_and_goes_on(tmp_path, clock):
    store = open_store(tmp_path / "s", 2 << 20)
    journal = open_journal(store, clock)
    recorder = Recorder(journal, clock, 64 << 20, block_s=10)
    cycle = 0
    while not recorder.blocks_dropped:
        cycle += 1
        recorder.take(inputs(cycle, os.urandom(50_000)))
        await recorder.seal()
    assert recorder.blocks_expired
    assert journal.healthy
    recorder.take(inputs(cycle + 1, os.urandom(50_000)))
    await recorder.seal()
    assert (await recorder.read(cycle + 1)).cycle == cycle + 1
    assert verify_store(store, SIGNER.vkey).problem is None
    store.close()


async def test_a_changed_block_is_refused(recorder, store, journal):
    recorder.take(inputs(1))
    await recorder.seal()
    ((digest, content),) = store.read(lambda reading: reading.scan(Table.BLOCK, limit=9))
    store.write(lambda writing: writing.put(Table.BLOCK, digest, content[:-1] + bytes([content[-1] ^ 1])))
    with pytest.raises(JournalDamaged, match="hash"):
        await recorder.read(1)
    assert verify_store(store, SIGNER.vkey).problem.kind == "block"


async def test_cycles_that_fit_no_columns_are_kept_as_they_are(recorder, store):
    """As those of a clock that stands before 1970."""
    odd = Inputs(1, -5, 7)
    recorder.take(odd)
    await recorder.seal()
    assert await recorder.read(1) == odd
    ((_, content),) = store.read(lambda reading: reading.scan(Table.BLOCK, limit=9))
    assert content.startswith(zstandard.FRAME_HEADER)


async def test_cycles_of_another_site_begin_a_block_of_their_own(recorder, journal):
    recorder.take(inputs(5))
    recorder.change_site(bytes([7]) * 32)
    recorder.take(inputs(6))
    await recorder.seal()

    bodies = [record.leaf.body for record in reversed(journal.newest(Kind.BLOCK, 9))]
    assert sorted((body.first_cycle, body.plans_digest[0]) for body in bodies) == [(5, 0), (6, 7)]


async def test_blocks_in_which_nothing_was_decided_make_room_on_demand_and_say_which(recorder, journal):
    for cycle in range(1, 4):
        if cycle == 2:
            await journal.commit([decision(1, cycle=2)])
        recorder.take(inputs(cycle, os.urandom(2000)))
        await recorder.seal()
    kept = recorder.kept_bytes
    expired = await recorder.make_room()
    assert expired is not None
    assert (expired.blocks, expired.first_cycle, expired.last_cycle) == (2, 1, 3)
    assert recorder.kept_bytes == kept - expired.size
    assert await recorder.read(2), "what was decided in it stays"
    assert await recorder.make_room() is None


# --- what must stay, and what is lost -----------------------------------------------------------------------------------


def gaps_of(journal) -> list[tuple[int, int, int, str]]:
    """First and last cycle, count and reason, oldest first."""
    bodies = [record.leaf.body for record in reversed(journal.newest(Kind.GAP, 99))]
    return [(body.first, body.last, body.count, body.reason) for body in bodies if body.stream == "blocks"]


async def is_kept(recorder: Recorder, cycle: int) -> bool:
    try:
        return (await recorder.read(cycle)).cycle == cycle
    except StoreError:
        return False


async def fill(recorder: Recorder, first: int, last: int) -> None:
    """Seal a block of about 10 kB for each cycle."""
    for cycle in range(first, last + 1):
        recorder.take(inputs(cycle, os.urandom(10_000)))
        await recorder.seal()


async def test_the_block_of_a_write_in_doubt_stays_until_its_outcome_is_known(journal, clock):
    recorder = Recorder(journal, clock, 45_000)
    await journal.commit([decision(1, cycle=1)], intents=[command(1)])
    await fill(recorder, 1, 1)
    for number in range(2, 15):  # all cited, so that the oldest would go
        await journal.commit([decision(number, cycle=number)])
    await fill(recorder, 2, 7)
    assert [await is_kept(recorder, cycle) for cycle in (1, 2, 3)] == [True, False, False]
    await journal.commit([outcome(1)], resolves=[1])
    await fill(recorder, 8, 14)
    assert not await is_kept(recorder, 1)


async def test_a_retained_block_stays_although_nothing_was_decided_in_it(journal, clock):
    recorder = Recorder(journal, clock, 45_000)
    await journal.commit([], saves={f"{RETAINED}9": msgspec.msgpack.encode(Retained(9, 1, 5))})
    await fill(recorder, 1, 9)
    assert await is_kept(recorder, 1)
    assert recorder.kept_bytes <= 45_000


async def test_when_all_that_is_kept_must_stay_new_blocks_are_lost_and_the_journal_says_so_once(journal, clock, store):
    recorder = Recorder(journal, clock, 45_000)
    rows = {f"{RETAINED}{n}": msgspec.msgpack.encode(Retained(n, n, 5)) for n in range(1, 5)}
    await journal.commit([], saves=rows)
    await fill(recorder, 1, 4)
    assert not recorder.is_full_of_pins
    recorder.take(inputs(5, os.urandom(10_000)))
    recorder.change_site(bytes(32))
    recorder.take(inputs(6, os.urandom(10_000)))
    await recorder.seal()
    assert recorder.is_full_of_pins
    assert recorder.kept_bytes <= 45_000
    assert gaps_of(journal) == [(5, 5, 1, PINS_FILL), (6, 6, 1, PINS_FILL)]  # the second at the stop
    await journal.commit([], saves=dict.fromkeys(rows, b""))
    await fill(recorder, 7, 7)
    assert not recorder.is_full_of_pins
    assert await is_kept(recorder, 7)
    assert verify_store(store, SIGNER.vkey).problem is None


async def test_blocks_older_than_their_days_go_and_pinned_ones_do_not(journal, clock):
    recorder = Recorder(journal, clock, 8 << 20)
    recorder.kept_ns = 100 * SECOND
    await journal.commit([decision(2, cycle=2)], intents=[command(2)])
    await fill(recorder, 1, 3)
    clock._move_to(clock.monotonic_ns() + 101 * SECOND)
    await fill(recorder, 4, 4)
    assert [await is_kept(recorder, cycle) for cycle in (1, 2, 3, 4)] == [False, True, False, True]
    assert recorder.blocks_expired == 2


async def test_blocks_that_sealing_could_not_keep_up_with_are_a_gap_in_the_journal(recorder, journal):
    for cycle in range(1, WAITING_BLOCKS_MAX + 3):
        recorder.take(inputs(cycle, bytes(BLOCK_BYTES_MAX)))
    await recorder.seal()
    assert gaps_of(journal) == [(1, 2, 2, TOO_SLOW)]


async def test_a_block_that_the_store_did_not_take_is_a_gap_in_the_journal(recorder, journal, monkeypatch):
    monkeypatch.setattr(journal, "commit_with", _refuse)
    await fill(recorder, 1, 1)
    monkeypatch.undo()
    await fill(recorder, 2, 2)
    assert gaps_of(journal) == [(1, 1, 1, NOT_SEALED)]


async def test_a_gap_that_cannot_be_told_now_is_told_with_the_next_block(recorder, journal, monkeypatch):
    monkeypatch.setattr(journal, "commit_with", _refuse)
    monkeypatch.setattr(journal, "commit", _refuse)
    await fill(recorder, 1, 2)
    monkeypatch.undo()
    assert gaps_of(journal) == []
    await fill(recorder, 3, 3)
    assert gaps_of(journal) == [(1, 2, 2, NOT_SEALED)]


async def test_the_recorder_knows_which_cycles_it_has(recorder):
    await fill(recorder, 4, 5)
    recorder.take(inputs(6))
    assert [recorder.has(cycle) for cycle in (3, 4, 5, 6, 7)] == [False, True, True, True, False]


async def test_the_last_sealed_cycle_is_that_of_the_block_sealed_last(recorder):
    assert recorder.sealed_cycle == 0
    await fill(recorder, 7, 8)
    await fill(recorder, 3, 3)
    assert recorder.sealed_cycle == 3


async def test_what_a_run_that_was_cut_off_lost_begins_behind_its_last_block(recorder, journal):
    run = 2 << 40
    await fill(recorder, run + 1, run + 2)
    await journal.commit([decision(1, cycle=run + 2)])
    assert recorder.lost_tail(2) == Gap("blocks", run + 3, 0, 0, TAIL)
    await journal.commit([decision(2, cycle=run + 7)])
    gap = recorder.lost_tail(2)
    assert (gap.first, gap.last, gap.count) == (run + 3, run + 7, 5)
    assert recorder.lost_tail(3).first == (3 << 40) + 1


async def _refuse(*_: object, **__: object) -> None:
    raise StoreFull("no room", remedy="Make some.")


# --- snapshots of the core beside the blocks ----------------------------------------------------------------------------


class Core:
    """Stands for the core: a state of so many bytes that nothing makes smaller, after the cycle taken last."""

    def __init__(self, recorder: Recorder, size: int = 100) -> None:
        self.recorder = recorder
        self.cycle = 0
        self.size = size
        recorder.camera = Camera(self.captured)
        recorder.begin()

    def captured(self, buffer: bytearray | None) -> Captured:
        cells = bytearray(os.urandom(self.size))
        columns = [Column("tag.value", "B", self.size)]
        return Captured(self.cycle, bytes(32), bytes(32), b"\x80", HeldTexts(1, {}, {}, []), columns, cells)

    def two_cycles(self, size: int = 100) -> None:
        """Run two cycles that make a block of their own, since the second comes late."""
        for _ in range(2):
            self.cycle += 1
            self.recorder.take(inputs(self.cycle, os.urandom(size)))
            self.recorder._clock._move_to(self.recorder._clock.monotonic_ns() + 10 * SECOND)

    async def sealed_block(self, size: int = 100) -> None:
        self.two_cycles(size)
        await self.recorder.seal()


def blocks_of(journal) -> list[BlockSealed]:
    return [record.leaf.body for record in reversed(journal.newest(Kind.BLOCK, 99))]


def seen_by(store, block: BlockSealed) -> int:
    """The last cycle that the snapshot of a block has seen."""
    content = unpack_state(store.get(Table.BLOCK, block.state), block.state)
    return msgspec.msgpack.decode(content[4 : 4 + int.from_bytes(content[:4], "big")])[1]


async def test_the_first_block_of_a_run_has_the_state_before_its_first_cycle(recorder, journal, store):
    core = Core(recorder)
    await core.sealed_block()
    (block,) = blocks_of(journal)
    assert (block.first_cycle, block.last_cycle, seen_by(store, block)) == (1, 2, 0)
    assert block.records == 1, "the genesis record is not of a cycle"
    assert len(store.get(Table.BLOCK, block.state)) == block.state_size
    assert verify_store(store, SIGNER.vkey).problem is None


async def test_a_block_has_a_snapshot_when_its_way_from_the_last_is_long(recorder, journal, store):
    """Of what is kept most are inputs: four bytes of blocks, or more, for each byte of a snapshot."""
    core = Core(recorder, size=1900)
    for _ in range(12):
        await core.sealed_block(1000)
    kept = [block for block in blocks_of(journal) if block.state]
    assert [block.first_cycle for block in kept] == [1, 9, 17]
    assert [seen_by(store, block) for block in kept] == [0, 8, 16]


async def test_a_block_with_decisions_behind_one_that_expires_before_it_has_a_snapshot(recorder, journal):
    core = Core(recorder, size=1_000)
    await journal.commit([decision(1, cycle=1), decision(2, cycle=3), decision(3, cycle=8), decision(4, cycle=9)])
    for _ in range(5):
        await core.sealed_block(10)
    assert [bool(block.state) for block in blocks_of(journal)] == [True, False, False, True, False]


async def test_the_block_behind_one_that_was_lost_has_a_snapshot(recorder, journal):
    core = Core(recorder)
    for _ in range(WAITING_BLOCKS_MAX + 2):
        core.two_cycles()
    assert recorder.blocks_dropped == 2
    await recorder.seal()
    first = blocks_of(journal)[0]
    assert (first.first_cycle, bool(first.state)) == (5, True)


async def test_the_first_block_of_another_site_has_a_snapshot(recorder, journal, store):
    core = Core(recorder)
    await core.sealed_block()
    core.recorder.change_site(bytes([7]) * 32)
    await core.sealed_block()
    assert [seen_by(store, block) for block in blocks_of(journal)] == [0, 2]


async def test_a_snapshot_goes_with_its_block_and_counts_for_the_quota(journal, clock, store):
    recorder = Recorder(journal, clock, 40_000, block_s=10)
    core = Core(recorder, size=2_000)
    for _ in range(9):
        await core.sealed_block(4_000)
        assert recorder.kept_bytes <= 40_000
    kept = [block for block in blocks_of(journal) if store.get(Table.BLOCK, block.digest) is not None]
    states = [block.state for block in blocks_of(journal) if block.state and store.get(Table.BLOCK, block.state)]
    assert states == [block.state for block in kept if block.state]
    assert Recorder(journal, clock, 40_000).kept_bytes == recorder.kept_bytes
    assert verify_store(store, SIGNER.vkey).problem is None


async def test_a_state_that_is_being_packed_when_its_block_begins_is_not_overwritten(
    recorder, journal, store, monkeypatch
):
    """Its memory is free for the next copy only when the very snapshot that will be kept has been made of it."""
    may_pack = threading.Event()

    def slowly(captured: Captured) -> PackedState:
        assert may_pack.wait(10)
        return pack_state(captured)

    class Reused(Core):
        def captured(self, buffer: bytearray | None) -> Captured:
            captured = super().captured(buffer)
            if buffer is None:
                return captured
            buffer[:] = captured.cells
            return captured._replace(cells=buffer)

    monkeypatch.setattr("gatewayd.journal.blocks.recorder.pack_state", slowly)
    core = Reused(recorder)
    before = bytes(recorder._next.state.cells)
    sealing = asyncio.ensure_future(recorder.seal())
    await asyncio.sleep(0)
    recorder.take(inputs(1))
    may_pack.set()
    await sealing
    recorder.take(inputs(2))
    recorder.change_site(bytes(32))
    await recorder.seal()
    block = blocks_of(journal)[0]
    kept = unpack_state(store.get(Table.BLOCK, block.state), block.state)
    assert (core.cycle, kept[-len(before) :]) == (0, before)


async def test_a_changed_snapshot_is_refused_and_named_by_its_block(recorder, journal, store):
    core = Core(recorder)
    await core.sealed_block()
    (block,) = blocks_of(journal)
    content = store.get(Table.BLOCK, block.state)
    changed = content[:-1] + bytes([content[-1] ^ 1])
    store.write(lambda writing: writing.put(Table.BLOCK, block.state, changed))
    with pytest.raises(JournalDamaged, match="hash"):
        unpack_state(changed, block.state)
    assert "snapshot" in verify_store(store, SIGNER.vkey).problem.what
