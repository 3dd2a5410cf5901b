"""What others have cosigned of the journal: kept for ever, and the measure of what could be cut off unseen.

Whoever is root on a gateway can copy its disk, let it decide, and put the copy back: every signature fits. Only somebody
outside who saw the longer log can tell. So a checkpoint that comes back cosigned is checked, stored, and compared with
our own tree; if it is larger than ours or another, our log has lost something and must not be continued under its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from gatewayd.errors import RequestRefused, StoreError
from gatewayd.journal import tail
from gatewayd.journal.care.pruned import pruned_state, refuse_pruned
from gatewayd.journal.log import Journal
from gatewayd.proof.cosignature import Cosignature, CosignerKey, add_checkpoint_body, cosignatures_of
from gatewayd.proof.merkle import consistency_proof
from gatewayd.proof.note import Checkpoint, NoteError, open_checkpoint, split_note
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading, Writes

NS = 1_000_000_000
LOOKED_BACK = 1024  # cosigned checkpoints, for one of a mirror


class Trusted(Struct, frozen=True):
    """Whose cosignatures count.

    Args:
        witnesses: vouch for size and root.
        mirrors: hold the records besides.
    """

    witnesses: tuple[CosignerKey, ...] = ()
    mirrors: tuple[CosignerKey, ...] = ()

    @classmethod
    def parse(cls, witnesses: Sequence[str], mirrors: Sequence[str]) -> Trusted:
        """Read verifier keys of the configuration.

        Raises:
            NoteError: one is malformed; the message names it.
        """
        return cls(tuple(map(CosignerKey.parse, witnesses)), tuple(map(CosignerKey.parse, mirrors)))

    @property
    def everyone(self) -> tuple[CosignerKey, ...]:
        """Return all keys that count, each once."""
        return tuple(dict.fromkeys(self.witnesses + self.mirrors))


class Witnessed(NamedTuple):
    """A checkpoint that others have cosigned.

    Args:
        size: records under it.
        note: the signed note, cosignature lines included.
        cosignatures: those that count, at least one.
    """

    size: int
    note: str
    cosignatures: tuple[Cosignature, ...]

    @property
    def time_s(self) -> int:
        """Return when it was first cosigned: everything under it is older. POSIX seconds, by the cosigner's clock."""
        return min(cosignature.time_s for cosignature in self.cosignatures)


class LogSuperseded(RequestRefused):
    """A cosigned checkpoint proves that this log once held more, or something else.

    Args:
        checkpoint: that one.
    """

    def __init__(self, message: str, *, checkpoint: str) -> None:
        remedy = "This disk is an old copy. Restart the daemon: its journal then begins a new epoch that names both."
        super().__init__(message, remedy=remedy)
        self.checkpoint = checkpoint


class Exposure(NamedTuple):
    """What whoever is root could cut off without anybody outside being able to tell.

    Args:
        entries: newest records that nobody has cosigned.
        age_s: of the oldest of them, by our clock; 0 = there is none.
    """

    entries: int
    age_s: float


class Witnesses:
    """The cosigned checkpoints of one journal.

    Args:
        journal: open.
        trusted: whose cosignatures count.
    """

    def __init__(self, journal: Journal, trusted: Trusted) -> None:
        self._journal = journal
        self.trusted = trusted
        self.newest = journal.store.read(lambda reading: newest_cosigned(reading, trusted.everyone))
        self._oldest_open: tuple[int, int] = (-1, 0)  # (its place, its wall_ns): status asks often

    def mirrored(self) -> Witnessed | None:
        """Return the newest checkpoint whose records a mirror holds, None if there is none."""
        return self._journal.store.read(lambda reading: newest_cosigned(reading, self.trusted.mirrors))

    async def add(self, note: str) -> Witnessed:
        """Keep a checkpoint of ours that came back cosigned.

        Args:
            note: with our own signature and the cosignatures.

        Raises:
            NoteError: malformed, not ours, wrongly cosigned, or cosigned by nobody who counts.
            LogSuperseded: our log is not the one, or no longer the one, that was cosigned.
            StoreError: it cannot be kept.
        """
        checkpoint = Checkpoint.parse(split_note(note)[0])
        cosignatures = self._counted(note, checkpoint)
        self._compare(checkpoint, note, cosignatures)
        open_checkpoint(note, self._journal.key_at(checkpoint.size))
        row = self._with_known_lines(checkpoint.size, note, cosignatures)

        def put(writing: Writes) -> None:
            writing.put(Table.COSIGNED, u64(checkpoint.size), row.encode())

        await self._journal.free(put)  # also when the store is full: it is what lets old records go
        added = Witnessed(checkpoint.size, row, cosignatures_of(row, self.trusted.everyone))
        if self.newest is None or added.size >= self.newest.size:
            self.newest = added
        return added

    def exposure(self, now_ns: int) -> Exposure:
        """Return what nobody outside vouches for, `now_ns` being wall time."""
        first = 0 if self.newest is None else self.newest.size
        entries = self._journal.size - first
        if entries <= 0:
            return Exposure(0, 0.0)
        if self._oldest_open[0] != first:
            self._oldest_open = (first, self._time_of(first, now_ns))
        return Exposure(entries, max(0, now_ns - self._oldest_open[1]) / NS)

    def _time_of(self, seq: int, now_ns: int) -> int:
        try:
            return self._journal.record(seq).leaf.wall_ns
        except (StoreError, IndexError):
            return now_ns

    def _counted(self, note: str, checkpoint: Checkpoint) -> tuple[Cosignature, ...]:
        if checkpoint.origin != self._journal.origin:
            raise NoteError(
                f"the checkpoint is one of {checkpoint.origin}, this journal is {self._journal.origin}",
                remedy="Give each gateway the checkpoints of its own journal.",
            )
        cosignatures = cosignatures_of(note, self.trusted.everyone)
        if not cosignatures:
            raise NoteError(
                "nobody whose cosignature counts has cosigned this checkpoint",
                remedy="List the key of the witness under [journal] witnesses in gateway.toml, or of a mirror.",
            )
        return cosignatures

    def _compare(self, checkpoint: Checkpoint, note: str, cosignatures: tuple[Cosignature, ...]) -> None:
        """Believe whoever cosigned it that this is our log, even without a signature that we know.

        A copy of the disk from before a rotation does not know the key that the log has had since.
        """
        ours, who = self._journal.size, cosignatures[0].cosigner.name
        if checkpoint.size > ours:
            raise LogSuperseded(
                f"{who} has seen {checkpoint.size} records of {checkpoint.origin}, here are only {ours}",
                checkpoint=note,
            )
        if checkpoint.size and self._journal.root(checkpoint.size) != checkpoint.root:
            raise LogSuperseded(
                f"{who} has seen other records among the first {checkpoint.size} of {checkpoint.origin} than are here",
                checkpoint=note,
            )

    def _with_known_lines(self, size: int, note: str, cosignatures: tuple[Cosignature, ...]) -> str:
        """Return our own part of a note with these cosignatures, and those that are kept already."""
        text, lines = split_note(note)
        counted = [cosignature.line for cosignature in cosignatures]
        known = self._journal.store.get(Table.COSIGNED, u64(size))
        ours = [line for line in lines if line.split(" ")[1] == self._journal.origin]
        kept = [] if known is None else split_note(known.decode())[1]
        return text + "\n" + "".join(f"{line}\n" for line in dict.fromkeys(kept + ours + counted))


def newest_cosigned(reading: Reading, keys: Sequence[CosignerKey]) -> Witnessed | None:
    """Return the newest cosigned checkpoint that one of these keys cosigned; what does not verify is passed over."""
    for key, row in reading.scan_back(Table.COSIGNED, limit=LOOKED_BACK if keys else 0):
        found = cosigned_by(row, keys)
        if found:
            return Witnessed(from_u64(key), row.decode(), found)
    return None


def witness_request(store: Store, old_size: int) -> str:
    """Return what a witness that knows `old_size` records wants: the newest checkpoint, and the proof up to it.

    Args:
        store: opened for reading, also beside a running daemon.
        old_size: 0 = it knows nothing of this log.

    Raises:
        StoreError: nothing is signed yet, or the witness knows more than is signed here.
    """
    return store.read(lambda reading: _request(reading, old_size))


def newest_note(store: Store) -> str:
    """Return the newest stored checkpoint.

    Raises:
        StoreError: nothing is signed yet.
    """
    return store.read(_newest_row)[1]


def _request(reading: Reading, old_size: int) -> str:
    size, note = _newest_row(reading)
    if old_size > size:
        raise StoreError(
            f"the witness knows {old_size} records, only {size} are signed here",
            remedy="Hand its cosigned checkpoint to `gatewayd journal cosign`: this disk may be an old copy.",
        )
    state = pruned_state(reading)
    if 0 < old_size < state.end:
        raise refuse_pruned(f"the proof from {old_size} records on", state)
    nodes = tail.nodes_of(reading, tail.stored_tree(reading))
    return add_checkpoint_body(old_size, consistency_proof(old_size, size, nodes), note)


def _newest_row(reading: Reading) -> tuple[int, str]:
    rows = reading.scan_back(Table.CHECKPOINT, limit=1)
    if not rows:
        raise StoreError("nothing is signed yet", remedy="Start the daemon once: it signs what it journals.")
    return from_u64(rows[0][0]), rows[0][1].decode("utf-8", "replace")


def cosigned_by(row: bytes, keys: Sequence[CosignerKey]) -> tuple[Cosignature, ...]:
    """Return the cosignatures of these keys on a stored note, none if it is damaged."""
    try:
        return cosignatures_of(row.decode("utf-8", "replace"), keys)
    except NoteError:
        return ()
