"""Takes a person's name, and what that person wrote, out of the journal. The salted hashes in the records stay.

Nobody can find the text of a hash without its salt, which goes with the text; every proof holds as before.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

from gatewayd.errors import JournalDamaged
from gatewayd.journal.leaf import PersonalRow, decode_personal
from gatewayd.journal.log import Journal
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, Redacted
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading, Writes

LOOKED_AT = 512  # rows per read transaction: about a millisecond
ROWS_PER_COMMIT = 256  # deletions need free pages


class Redaction(NamedTuple):
    """What was taken out: from how many records, and how many texts."""

    records: int
    texts: int


async def redact(journal: Journal, name: str, reason: str, actor: Actor) -> Redaction:
    """Delete all texts of the records that carry a person's name; return how many once that is durable.

    A part of them goes in the same transaction as the record that says so, so a redaction that was cut short is on record as
    far as it went, and the same call goes on with it.

    Args:
        journal: running.
        name: exactly as it was journalled.
        reason: why; goes on record, itself as a hash with its text beside.
        actor: who asked.

    Raises:
        StoreError: not all of it could be made durable.
    """
    records = texts = 0
    first = b""
    while True:
        found, first = journal.store.read(partial(_named, name=name, first=first))
        for at in range(0, len(found), ROWS_PER_COMMIT):
            part = dict(list(found.items())[at : at + ROWS_PER_COMMIT])
            await _delete(journal, part, reason, actor)
            records, texts = records + len(part), texts + sum(part.values())
        if not first:
            return Redaction(records, texts)
        await asyncio.sleep(0)  # noqa: TID251 - no time but a turn: cycles go on meanwhile


def _named(reading: Reading, name: str, first: bytes) -> tuple[dict[bytes, int], bytes]:
    """Return the keys of a person's rows with their texts, and the key to go on at, empty at the end."""
    rows = reading.scan(Table.PERSONAL, first=first, limit=LOOKED_AT)
    found = {key: len(texts) for key, texts in ((key, _decoded(key, row)) for key, row in rows) if _is_of(texts, name)}
    return found, u64(from_u64(rows[-1][0]) + 1) if len(rows) == LOOKED_AT else b""


def _decoded(key: bytes, row: bytes) -> PersonalRow:
    try:
        return decode_personal(row)
    except ValueError as error:
        raise JournalDamaged(
            f"the personal texts of record {from_u64(key)} cannot be read: {error}",
            remedy="Nothing was redacted. `gatewayd journal verify` says what else is damaged.",
        ) from error


def _is_of(texts: PersonalRow, name: str) -> bool:
    return "actor_name" in texts and texts["actor_name"][1] == name


async def _delete(journal: Journal, rows: dict[bytes, int], reason: str, actor: Actor) -> None:
    seqs = [from_u64(key) for key in rows]
    body = Redacted(min(seqs), max(seqs), len(rows), sum(rows.values()), actor.without_name())
    personal = {"reason_text": reason, "actor_name": actor.name}

    def delete(writing: Writes, _seqs: tuple[int, ...]) -> None:
        for key in rows:
            writing.delete(Table.PERSONAL, key)

    await journal.commit_with([NewRecord(body, {field: text for field, text in personal.items() if text})], delete)
