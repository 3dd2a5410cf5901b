"""Export a journal for an auditor: a folder of open formats that is verified offline without this project.

Only what the journal's own verification accepts is written: the records come out of one verifying pass, and every slice
and text is compared with the hash in its record. No read transaction is open while a file is written, and no more than
256 records are in memory. Records after the newest signed checkpoint are not exported, since nobody has signed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.errors import JournalDamaged, StoreError
from gatewayd.journal import tail
from gatewayd.journal.audit.verify import Chunk, Progress, verify_store
from gatewayd.journal.care.chain import handovers
from gatewayd.journal.care.pruned import PrunedState, first_tree, pruned_state, refuse_pruned
from gatewayd.journal.export.folder import ExportFolder, ProvDocument
from gatewayd.journal.export.prov import Lineage, Statement
from gatewayd.journal.export.replay_files import ReplayFiles
from gatewayd.journal.leaf import decode_leaf, decode_personal, wrong_personal_field
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.record import Decision, Leaf, Outcome
from gatewayd.proof.merkle import HASH_SIZE, Nodes, inclusion_proof
from gatewayd.proof.note import VerifierKey, open_checkpoint
from gatewayd.proof.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Tree,
    entries_of_bundle,
    entries_path,
    entry_bundle,
    node_from_tiles,
    tile_path,
)
from gatewayd.proof.tlog_proof import tlog_policy, tlog_proof
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from gatewayd.store.tables import Table, from_u64, u64

FORMAT = "gatewayd-export/1"
TILES_CACHED = 64
NODES_CACHED = 4096  # decisions that follow each other share most of their paths


class Request(Struct, frozen=True, kw_only=True):
    """What to export.

    Args:
        folder: where to; must not exist.
        vkey: the verifier key that `gatewayd init` printed; None takes the journal's own word for it.
        first: first record wanted.
        last: last record wanted; None = the newest signed one.
        with_personal: names and reasons too, which otherwise stay salted hashes.
        for_replay: blocks of inputs, snapshots and configurations too.
    """

    folder: Path
    vkey: str | None = None
    first: int = 0
    last: int | None = None
    with_personal: bool = False
    for_replay: bool = False


class Exported(Struct, frozen=True):
    """What was written, and what an export says of itself in `export.json`.

    Args:
        format: of the folder.
        origin: the log's name.
        vkey: of the key that the log began with.
        size: records under the checkpoint.
        first: first record in the folder, a multiple of 256.
        end: one after the last.
        decisions: in that range.
        outcomes: in that range.
        evidence: slices, each a file.
        evidence_missing: records whose slice is no longer kept.
        personal: names and reasons written in plain.
        keys: (first size, verifier key) of each key up to the one that signed the checkpoint.
        min_index: first record that the gateway still has; of those before, the tree stays (C2SP tlog-tiles, Pruning).
        replay: blocks, snapshots and configurations, each a file.
        replay_missing: cited, but no longer kept; 0 where they were not asked for.
    """

    format: str
    origin: str
    vkey: str
    size: int
    first: int
    end: int
    decisions: int = 0
    outcomes: int = 0
    evidence: int = 0
    evidence_missing: int = 0
    personal: int = 0
    keys: tuple[tuple[int, str], ...] = ()
    min_index: int = 0
    replay: int = 0
    replay_missing: int = 0


class _Signed(Struct, frozen=True):
    """The newest stored checkpoint."""

    size: int
    note: str


def export(path: Path, request: Request, *, progress: Progress | None = None) -> Exported:
    """Export the journal in a store's folder, also beside a running daemon.

    Args:
        path: the store's folder.
        request: what, and where to.
        progress: called with (records done, records in all) of both passes together.

    Raises:
        JournalDamaged: it does not verify; the first bad record is named and nothing is left behind.
        StoreError: the store cannot be read, the folder exists or cannot be written, or there is nothing to export.
        NoteError: the verifier key is malformed.
    """
    store = Store.open(path, QUOTA_BYTES_MIN, readonly=True)
    try:
        return export_store(store, request, progress=progress)
    finally:
        store.close()


def export_store(store: Store, request: Request, *, progress: Progress | None = None) -> Exported:
    """Export the journal of an open store; see `export`."""
    signed = _newest_checkpoint(store)
    kept = store.read(first_tree)
    first, end = _range(request, store.read(pruned_state), signed.size)
    folder = ExportFolder.begin(request.folder)
    try:
        log = _LogFiles(folder, signed.size, first, end, kept=kept)
        keys = _verified(store, request, log, signed, _part_of(progress, 0, end - first))
        log.write_rest(signed.note, keys)
        _write_handovers(store, folder, signed.size)
        vkey = keys[0][1]
        empty = Exported(
            FORMAT, VerifierKey.parse(vkey).name, vkey, signed.size, first, end, keys=keys, min_index=kept.size
        )
        replay = ReplayFiles(store, folder) if request.for_replay else None
        records = _RecordFiles(store, folder, log, with_personal=request.with_personal, replay=replay)
        made = records.write(empty, signed.note, _part_of(progress, signed.size, 0))
        folder.write("export.json", msgspec.json.format(msgspec.json.encode(made)) + b"\n")
        for source in auditor_files():
            folder.write(source.name, source.read_bytes())
        folder.finish()
    except OSError as error:
        raise StoreError(
            f"the export to {request.folder} cannot be written: {error.strerror}",
            remedy="Make room, or choose another disk; what was written so far is removed.",
        ) from error
    finally:
        folder.discard()
    return made


def auditor_files() -> list[Path]:
    """Return what goes with every export: the second verifier, its sister in Go, and the page that says how."""
    here = Path(__file__).resolve()
    installed, source = here.parents[2] / "verify", here.parents[3] / "verify"
    folder = installed if installed.is_dir() else source
    return [folder / name for name in ("README.md", "verify_export.go", "verify_export.py")]


def proof_path(decision_id: int, outcome_seq: int | None = None) -> str:
    """Return the name of the proof of a decision, or of an outcome of it."""
    outcome = "" if outcome_seq is None else f".outcome-{outcome_seq}"
    return f"proofs/{decision_id}{outcome}.tlog-proof"


def _newest_checkpoint(store: Store) -> _Signed:
    rows = store.read(lambda reading: reading.scan_back(Table.CHECKPOINT, limit=1))
    if not rows:
        raise StoreError(
            "the journal has no signed checkpoint yet: there is nothing to prove",
            remedy="Let the daemon run for ten seconds or stop it properly; both sign what there is.",
        )
    return _Signed(from_u64(rows[0][0]), rows[0][1].decode("utf-8", "replace"))


def _range(request: Request, pruned: PrunedState, size: int) -> tuple[int, int]:
    """Return the records to export, widened to whole bundles: (first, one after the last)."""
    last = size - 1 if request.last is None else min(request.last, size - 1)
    if 0 < request.first < pruned.end or last < pruned.end:
        raise refuse_pruned(f"record {request.first or last}", pruned)
    wanted = max(request.first, pruned.end)
    if not 0 <= wanted <= last:
        raise StoreError(
            f"there is no record from {request.first} to {last}: records {pruned.end} to {size - 1} are signed",
            remedy="Choose --from and --to among them.",
        )
    return wanted // TILE_WIDTH * TILE_WIDTH, min((last // TILE_WIDTH + 1) * TILE_WIDTH, size)


def _part_of(progress: Progress | None, before: int, after: int) -> Progress | None:
    """Return the progress of one of two passes."""
    return None if progress is None else lambda done, total: progress(before + done, before + total + after)


def _write_handovers(store: Store, folder: ExportFolder, size: int) -> None:
    """Write the record and the proof, under both signatures, of each key that was handed over up to a size."""
    for from_size, handover in store.read(lambda reading: list(handovers(reading))):
        if from_size <= size:
            proof = tlog_proof(from_size - 1, handover.path, handover.note)
            folder.write(f"keys/{from_size}.entry", handover.leaf)
            folder.write(f"keys/{from_size}.tlog-proof", proof.encode())


def _verified(
    store: Store, request: Request, log: _LogFiles, signed: _Signed, progress: Progress | None
) -> tuple[tuple[int, str], ...]:
    """Verify the journal, writing bundles and tiles on the way; return its keys up to the signed size."""
    report = verify_store(store, request.vkey, progress=progress, take=log.take)
    if report.problem is not None:
        raise JournalDamaged(
            f"nothing is exported: record {report.problem.seq} ({report.problem.kind}) is bad: {report.problem.what}",
            remedy="Keep this disk as it is, copy it, and run `gatewayd journal verify`.",
        )
    keys = tuple((size, key) for size, key in report.keys if size <= signed.size)
    checkpoint = open_checkpoint(signed.note, VerifierKey.parse(keys[-1][1]))
    if (checkpoint.size, checkpoint.root) != (log.tree.size, log.tree.root()):
        raise tail.damaged(signed.size - 1, f"the signed root of {signed.size} records is not that of the records")
    return keys


class _LogFiles:
    """Bundles and tiles, written as verification hands the records over.

    Attributes:
        tree: of the records taken so far, none beyond the checkpoint.
    """

    def __init__(self, folder: ExportFolder, size: int, first: int, end: int, *, kept: Tree) -> None:
        self.tree = kept
        self._folder = folder
        self._size = size
        self._first = first
        self._end = end

    def take(self, chunk: Chunk) -> None:
        """Write what of a chunk lies under the checkpoint."""
        count = min(len(chunk.entries), self._size - chunk.first)
        if count <= 0:
            return
        self.tree, full = self.tree.grown(chunk.hashes[:count])
        for tile in full:
            self._folder.write(tile_path(tile.level, tile.index), tile.hashes)
        if self._first <= chunk.first < self._end:
            self._folder.write(self.bundle_path(chunk.first), entry_bundle(chunk.entries[:count]))

    def write_rest(self, note: str, keys: Sequence[tuple[int, str]]) -> None:
        """Write the partial tiles, the checkpoint, the log's first key and the ranges of all."""
        for level, hashes in enumerate(self.tree.partial):
            if hashes:
                index = self._size >> TILE_HEIGHT * (level + 1)
                self._folder.write(tile_path(level, index, len(hashes) // HASH_SIZE), hashes)
        self._folder.write("checkpoint", note.encode())
        self._folder.write("verifier.key", f"{keys[0][1]}\n".encode())
        self._folder.write("tlog-policy", tlog_policy(keys).encode())

    def bundle_path(self, first: int) -> str:
        """Return the name of the bundle that begins with record `first`."""
        return entries_path(first // TILE_WIDTH, min(TILE_WIDTH, self._size - first))

    def entries(self) -> Iterator[tuple[int, list[bytes]]]:
        """Yield (seq of the first, entries) of each bundle that was written."""
        for first in range(self._first, self._end, TILE_WIDTH):
            yield first, entries_of_bundle(self._folder.read(self.bundle_path(first)))

    def nodes(self) -> Nodes:
        """Return the source of nodes for proofs: the tiles just written."""
        read = lru_cache(TILES_CACHED)(self._tile)
        return lru_cache(NODES_CACHED)(lambda level, index: node_from_tiles(level, index, read))

    def _tile(self, level: int, index: int) -> bytes:
        return self.tree.tile(level, index, lambda *key: self._folder.read(tile_path(*key)))


class _RecordFiles:
    """What hangs on the records: evidence, proofs, lineage and, where wanted, personal texts."""

    def __init__(
        self, store: Store, folder: ExportFolder, log: _LogFiles, *, with_personal: bool, replay: ReplayFiles | None
    ) -> None:
        self._store = store
        self._folder = folder
        self._log = log
        self._nodes = log.nodes()
        self._with_personal = with_personal
        self._replay = replay
        self._lineage = Lineage()
        self._counts = {"decisions": 0, "outcomes": 0, "evidence": 0, "evidence_missing": 0, "personal": 0}

    def write(self, empty: Exported, note: str, progress: Progress | None) -> Exported:
        """Write the files of all exported records and return the counts."""
        document = ProvDocument(self._folder)
        try:
            for first, entries in self._log.entries():
                for seq, entry in enumerate(entries, start=first):
                    self._write_record(seq, decode_leaf(entry), note, document.add)
                if progress is not None:
                    progress(first + len(entries) - empty.first, empty.end - empty.first)
            document.finish()
        finally:
            document.close()
        if self._replay is not None:
            self._counts |= {"replay": self._replay.written, "replay_missing": self._replay.missing}
        return msgspec.structs.replace(empty, **self._counts)

    def _write_record(self, seq: int, leaf: Leaf, note: str, state: Callable[[Statement], None]) -> None:
        statements: list[Statement] = [*self._write_evidence(seq, leaf)]
        body = leaf.body
        if isinstance(body, Decision):
            self._write_proof(proof_path(body.decision_id), seq, note)
            self._counts["decisions"] += 1
            statements += self._lineage.of_decision(leaf, body)
        elif isinstance(body, Outcome):
            self._write_proof(proof_path(body.decision_id, seq), seq, note)
            self._counts["outcomes"] += 1
            statements += self._lineage.of_outcome(leaf, body)
        if self._with_personal:
            self._write_personal(seq, leaf)
        if self._replay is not None:
            self._replay.take(seq, body)
        for statement in statements:
            state(statement)

    def _write_proof(self, name: str, seq: int, note: str) -> None:
        path = inclusion_proof(seq, self._log.tree.size, self._nodes)
        self._folder.write(name, tlog_proof(seq, path, note).encode())

    def _write_evidence(self, seq: int, leaf: Leaf) -> Iterator[Statement]:
        digest = getattr(leaf.body, "evidence", b"")
        name = f"evidence/{digest.hex()}"
        if not digest or self._folder.holds(name):
            return
        content = self._store.read(lambda reading: tail.evidence_of(Entries(reading), seq, digest))
        if content is None:
            self._counts["evidence_missing"] += 1
            return
        self._folder.write(name, content)
        self._counts["evidence"] += 1
        yield from self._lineage.of_evidence(digest, content)

    def _write_personal(self, seq: int, leaf: Leaf) -> None:
        row = self._store.get(Table.PERSONAL, u64(seq))
        if row is None:
            return
        try:
            texts = decode_personal(row)
        except ValueError as error:
            raise tail.damaged(seq, f"its personal texts cannot be decoded: {error}") from error
        if wrong := wrong_personal_field(leaf.body, texts):
            raise tail.damaged(seq, f"the text of {wrong} does not have the hash in the record")
        for field, (salt, text) in sorted(texts.items()):
            line = {"record": seq, "field": field, "salt": salt.hex(), "text": text}
            self._folder.append("personal.jsonl", msgspec.json.encode(line) + b"\n")
            self._counts["personal"] += 1
