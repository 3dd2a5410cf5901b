"""No single byte of an export or a journal can be changed, lost or added unnoticed.

`make mutation-test` draws MUTATIONS=10000 for each verifier; the ordinary run draws 300. SEED= draws others.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
import zstandard

from gatewayd.journal.audit.verify import verify_store
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Rows
from tests.journal.samples import SIGNER
from tests.verify.samples import exported, verifier, written

T = TypeVar("T")

MUTATIONS = int(os.environ.get("MUTATIONS", "300"))
SEED = os.environ.get("SEED", "1")
PARTS = ("checkpoint", "tile/entries/*", "tile/entries/*/*", "tile/[0-9]/*", "tile/[0-9]/*/*", "proofs/*", "evidence/*")
TABLES = (
    Table.ENTRY,
    Table.BUNDLE,
    Table.TILE,
    Table.EDGE,
    Table.CHECKPOINT,
    Table.EVIDENCE,
    Table.PERSONAL,
    Table.INDEX,
)
REFUSALS = (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error)  # what its `main` catches, too

verify_export = verifier()


def mutated(content: bytes, draw: Random) -> bytes:
    """One byte changed (mostly), taken away or added."""
    at = draw.randrange(len(content))
    how = draw.random()
    if how < 0.8:
        return content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :]
    if how < 0.9:
        return content[:at] + content[at + 1 :]
    return content[:at] + bytes([draw.randrange(256)]) + content[at:]


def drawn(files: dict[str, list[Path]], count: int) -> Iterator[tuple[Path, bytes, bytes]]:
    """Yield (file, what it holds, the same with one byte wrong), from each part of an export equally often."""
    draw = Random(f"export {SEED}")
    parts = [part for part in files if files[part]]
    for turn in range(count):
        file = draw.choice(files[parts[turn % len(parts)]])
        content = file.read_bytes()
        yield file, content, mutated(content, draw)


def accepts(folder: Path) -> bool:
    try:
        verify_export.Export(folder, SIGNER.vkey).check_all()
    except (verify_export.Bad, *REFUSALS):
        return False
    return True


@pytest.mark.timeout(0)
async def test_the_second_verifier_notices_every_wrong_byte_of_an_export(tmp_path):
    store = await written(tmp_path / "store")
    exported(store, tmp_path / "export")
    store.close()
    folder = tmp_path / "export"
    files = {part: sorted(file for file in folder.glob(part) if file.is_file()) for part in PARTS}
    assert sum(bool(found) for found in files.values()) == len(PARTS)
    assert accepts(folder)
    unnoticed = []
    for file, content, wrong in drawn(files, MUTATIONS):
        file.write_bytes(wrong)
        if accepts(folder):
            unnoticed.append((file.name, content, wrong))
        file.write_bytes(content)
    assert unnoticed == []
    assert accepts(folder)


def means_the_same(content: bytes, wrong: bytes) -> bool:
    """Say whether a compressed row says the same in other bytes: zstd ignores a bit of its header, and what comes after."""
    try:
        return zstandard.ZstdDecompressor().decompress(wrong) == zstandard.ZstdDecompressor().decompress(content)
    except zstandard.ZstdError:
        return False


class Memory:
    """A store in memory, as far as verification asks; quick to alter and to put right again."""

    redo_lost = 0

    def __init__(self, rows: dict[Table, dict[bytes, bytes]]) -> None:
        self.rows = rows

    def read(self, work: Callable[[Memory], T]) -> T:
        return work(self)

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self.rows[table].get(key)

    def scan(self, table: Table, *, first: bytes = b"", below: bytes | None = None, limit: int) -> Rows:
        keys = [key for key in self.rows[table] if key >= first and (below is None or key < below)]
        return [(key, self.rows[table][key]) for key in keys[:limit]]

    def scan_back(self, table: Table, *, below: bytes | None = None, floor: bytes = b"", limit: int) -> Rows:
        keys = [key for key in self.rows[table] if key >= floor and (below is None or key < below)]
        return [(key, self.rows[table][key]) for key in keys[::-1][:limit]]


@pytest.mark.timeout(0)
async def test_the_daemons_own_verifier_notices_every_wrong_byte_of_a_journal(tmp_path):
    store = await written(tmp_path / "store")
    memory = Memory({table: dict(store.read(lambda r, t=table: r.scan(t, limit=10_000))) for table in Table})
    store.close()
    assert verify_store(memory, SIGNER.vkey).problem is None
    draw, unnoticed = Random(f"journal {SEED}"), []
    for turn in range(MUTATIONS):
        table = TABLES[turn % len(TABLES)]
        key = draw.choice([key for key, content in memory.rows[table].items() if content])
        content = memory.rows[table][key]
        memory.rows[table][key] = mutated(content, draw)
        is_same = means_the_same(content, memory.rows[table][key])
        if not is_same and verify_store(memory, SIGNER.vkey).problem is None:
            unnoticed.append((table, key, content, memory.rows[table][key]))
        memory.rows[table][key] = content
    assert unnoticed == []
    assert verify_store(memory, SIGNER.vkey).problem is None
