"""A person's name and words leave the journal; who, when and what stay, and every proof holds."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.errors import JournalDamaged, StoreError
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.care import redact as module
from gatewayd.journal.care.redact import redact
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Kind, OverrideEvent
from gatewayd.store.tables import Table, u64
from tests.journal.samples import ANA, SIGNER


async def override(journal, name: str, reason: str) -> int:
    event = OverrideEvent(1, "set", "pump_1.speed", 25.0, 0, ANA)
    texts = {"actor_name": name, "reason_text": reason}
    return (await journal.commit([NewRecord(event, {field: text for field, text in texts.items() if text})]))[0]


async def test_all_texts_of_a_person_are_deleted_and_the_record_says_by_whom_and_why(journal, store):
    first = await override(journal, "bob", "bearing check")
    other = await override(journal, "eve", "bob asked me")
    last = await override(journal, "bob", "")

    said = await redact(journal, "bob", "he asked for it", msgspec.structs.replace(ANA, name="ana"))

    assert said == (2, 3)
    assert journal.record(first).personal == journal.record(last).personal == {}
    assert journal.record(first).leaf.body.actor_name, "the hash stays"
    assert journal.record(other).personal == {"actor_name": "eve", "reason_text": "bob asked me"}
    (record,) = journal.newest(Kind.REDACTED, 9)
    body = record.leaf.body
    assert (body.first_seq, body.last_seq, body.records, body.texts) == (first, last, 2, 3)
    assert (body.actor, record.personal) == (ANA, {"actor_name": "ana", "reason_text": "he asked for it"})


async def test_the_journal_verifies_as_before_and_counts_what_is_gone(journal, store):
    await override(journal, "bob", "bearing check")
    await redact(journal, "bob", "he asked for it", ANA)

    report = verify_store(store, SIGNER.vkey)

    assert report.problem is None
    assert report.redacted == 2


async def test_nobody_of_that_name_changes_nothing(journal):
    await override(journal, "bobby", "bearing check")
    size = journal.size

    assert await redact(journal, "bob", "he asked for it", ANA) == (0, 0)
    assert journal.size == size


async def test_it_goes_on_through_many_records_in_parts(journal, monkeypatch):
    monkeypatch.setattr(module, "LOOKED_AT", 8)
    monkeypatch.setattr(module, "ROWS_PER_COMMIT", 3)
    seqs = [await override(journal, "bob" if number % 3 else "eve", "why") for number in range(40)]

    said = await redact(journal, "bob", "he asked for it", ANA)

    assert said == (26, 52)
    assert sum(record.leaf.body.records for record in journal.newest(Kind.REDACTED, 99)) == 26
    left = [seq for seq in seqs if journal.record(seq).personal]
    assert left == seqs[::3]


async def test_one_that_was_cut_short_is_on_record_as_far_as_it_went_and_can_be_taken_up(journal, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_COMMIT", 1)
    seqs = [await override(journal, "bob", "why") for _ in range(3)]
    commit, calls = journal.commit_with, []

    async def cut(records, extra):
        calls.append(1)
        if len(calls) == 2:
            raise StoreError("disk error", remedy="look")
        return await commit(records, extra)

    monkeypatch.setattr(journal, "commit_with", cut)
    with pytest.raises(StoreError):
        await redact(journal, "bob", "he asked for it", ANA)
    assert [bool(journal.record(seq).personal) for seq in seqs] == [False, True, True]
    assert len(journal.newest(Kind.REDACTED, 9)) == 1

    assert await redact(journal, "bob", "he asked for it", ANA) == (2, 4)


async def test_texts_that_cannot_be_read_are_named_and_nothing_is_deleted(journal, store):
    seq = await override(journal, "bob", "why")
    await journal.commit_with((), lambda writing, _: writing.put(Table.PERSONAL, u64(seq + 1), b"\xff"))

    with pytest.raises(JournalDamaged, match=f"record {seq + 1}"):
        await redact(journal, "bob", "he asked for it", ANA)
    assert journal.record(seq).personal
