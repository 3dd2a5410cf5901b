"""Everything durable of one gateway, opened together: store, journal, flight recorder, cursors."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gatewayd.clock import Clock
from gatewayd.errors import UNDECODABLE, JournalDamaged, StoreDamaged, StoreError, StoreFull
from gatewayd.journal.blocks.recorder import Recorder
from gatewayd.journal.care.door import Care
from gatewayd.journal.care.epoch import STORE_NAME, begin_epoch, begin_pending_epoch, finish_move
from gatewayd.journal.guarded import guard, unguard
from gatewayd.journal.keys import LogIdentity, PreviousLog, next_signer, settle_keys
from gatewayd.journal.log import Identity, Journal
from gatewayd.journal.records import LEARNED
from gatewayd.journal.tail import EDGE_KEY
from gatewayd.model.block import ReadPlan
from gatewayd.model.config import GatewayFile
from gatewayd.model.record import ClockQuality
from gatewayd.proof.note import SeedSigner
from gatewayd.store.disk import touch_durably
from gatewayd.store.env import Store
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Writes

MB = 1_000_000
BLOCKS_SHARE_MAX = 0.6  # of the quota, for the flight recorder: the journal can always have the rest
STATE_SHARE = 0.10  # of the quota, for saved state; beyond that detectors forget, for they can learn again
DAY_NS = 86_400 * 1_000_000_000
KINDS_MAX = 256
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CLOCK_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd makes it after the first sync


class StoreCursors:
    """How far the cloud has acknowledged each stream; shares the journal's transactions."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def get(self, stream: str) -> bytes | None:
        """Return what was put last."""
        return self._journal.store.get(Table.CURSOR, stream.encode())

    async def put(self, stream: str, value: bytes) -> None:
        """Make a cursor durable, also when the store is full: what may be pruned then depends on it.

        Raises:
            StoreError: it is not.
        """

        def put(writing: Writes) -> None:
            writing.put(Table.CURSOR, stream.encode(), value)

        try:
            await self._journal.commit_with((), lambda writing, _: put(writing))
        except StoreFull:
            await self._journal.free(put)


class StoreLearned:
    """What detectors have learned, a row per kind, beside the rest of the saved state; see `gatewayd.learned`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def learned(self) -> dict[str, bytes]:
        """Return kind -> bytes; a row that is not what was kept is empty."""
        prefix = LEARNED.encode()
        rows = self._journal.store.read(lambda reading: reading.scan(Table.SAVE, first=prefix, limit=KINDS_MAX))
        return {key[len(prefix) :].decode(): _intact(key, row) for key, row in rows if key.startswith(prefix)}

    async def keep_learned(self, rows: dict[str, bytes]) -> None:
        """Make rows durable in place of those of the same kinds.

        Raises:
            StoreError: they are not.
        """
        self._refuse_beyond_the_limit(sum(map(len, rows.values())))
        guarded = {key: guard(key, row) for key, row in ((f"{LEARNED}{kind}".encode(), rows[kind]) for kind in rows)}

        def put(writing: Writes, _: tuple[int, ...]) -> None:
            for key, row in guarded.items():
                writing.put(Table.SAVE, key, row)

        await self._journal.commit_with((), put)

    def _refuse_beyond_the_limit(self, more: int) -> None:
        store = self._journal.store
        most = STATE_SHARE * store.room().quota
        if store.table_bytes()[Table.SAVE] <= most and more <= most:
            return
        raise StoreFull(
            f"what detectors learned would take more than {most / 1e6:.1f} MB with the rest of the saved state",
            remedy="Raise storage.quota_mb, or let fewer tags be watched by detectors with long memories.",
        )


def _intact(key: bytes, row: bytes) -> bytes:
    try:
        return unguard(key, row)
    except JournalDamaged:  # what was learned can be learned again; nothing else may be lost so lightly
        return b""


class Storage:
    """One gateway's durable half.

    Args:
        store: open for writing, owned by this process.
        journal: its log.
        folder: the storage folder, which also holds keys and certificates.
        epoch: of the log.
        boot_id: 16 bytes of this boot.
        was_clean: the last run closed the store.

    Attributes:
        previous: the log that was given up, damaged, for this one.
        care: what people can ask of the journal.
    """

    care: Care

    def __init__(
        self, store: Store, journal: Journal, *, folder: Path, epoch: int, boot_id: bytes, was_clean: bool
    ) -> None:
        self.store = store
        self.journal = journal
        self.folder = folder
        self.epoch = epoch
        self.boot_id = boot_id
        self.was_clean = was_clean
        self.previous: PreviousLog | None = None
        self.cursors = StoreCursors(journal)
        self.learned = StoreLearned(journal)

    @classmethod
    def open(cls, config: GatewayFile, clock: Clock) -> Storage:
        """Open the store of a gateway that was initialised; a damaged one is put aside and a new epoch begins.

        Raises:
            StoreLocked: another daemon owns it.
            StoreError: not initialised, or another gateway's.
        """
        folder = Path(config.storage.path)
        log, signer = finish_move(folder)
        if log.origin.rpartition("/")[0] != config.gateway.name:
            raise StoreError(
                f"{folder} is the storage of {log.origin}, not of {config.gateway.name}",
                remedy="Give each gateway its own [storage] path, or its old name back.",
            )
        log, signer = begin_pending_epoch(folder, log) or (log, signer)
        try:
            return cls._opened(config, clock, log, signer)
        except StoreDamaged as error:
            log, signer = begin_epoch(folder, log, error.message)
        return cls._opened(config, clock, log, signer)

    @classmethod
    def _opened(cls, config: GatewayFile, clock: Clock, log: LogIdentity, signer: SeedSigner) -> Storage:
        folder = Path(config.storage.path)
        store = Store.open(folder / STORE_NAME, config.storage.quota_mb * MB)
        was_clean, boot_id = store.was_clean, _boot_id()
        quality = ClockQuality.NTP if CLOCK_SYNCHRONIZED.exists() else ClockQuality.UNSYNCED
        identity = Identity(log.origin, log.epoch, boot_id, quality, log.previous)
        try:
            _refuse_an_empty_store(store, folder, log)
            following = next_signer(log.origin, folder)
            journal = Journal.open(store, signer, clock, identity, commit=config.storage.commit, next_signer=following)
            settle_keys(log, journal.signer.vkey, folder)
            touch_durably(folder / "keys" / f"begun-e{log.epoch}")
            _look_at_what_a_start_needs(journal)
            care = Care(journal, config.journal, folder, clock)
            if config.cloud is not None:
                care.unsent_from = lambda: _collected(store, log.epoch)
        except BaseException:
            store.close()
            raise
        opened = cls(store, journal, folder=folder, epoch=log.epoch, boot_id=boot_id, was_clean=was_clean)
        opened.previous = log.previous
        opened.care = care
        return opened

    def recorder(self, config: GatewayFile, plans: tuple[ReadPlan, ...], *, digest: bytes, clock: Clock) -> Recorder:
        """Return the flight recorder for these read plans.

        Args:
            config: quota and length of a block.
            plans: of the site.
            digest: names the plans in the block records.
            clock: for the age of a block.
        """
        recorder = Recorder(
            self.journal,
            clock,
            min(config.storage.evidence_mb * MB, int(BLOCKS_SHARE_MAX * config.storage.quota_mb * MB)),
            block_s=config.storage.evidence_block_s,
            samples_per_plan=tuple(len(plan.rows) for plan in plans),
            plans_digest=digest,
        )
        recorder.kept_ns = round(config.storage.evidence_days * DAY_NS)
        return recorder

    def close(self) -> None:
        """Store a last checkpoint and give the store back."""
        self.journal.close()
        self.store.close()


def _collected(store: Store, epoch: int) -> int:
    """Return the first record of the journal that the collector has not acknowledged, as far as that is durable."""
    row = store.get(Table.CURSOR, b"journal")
    try:
        of_epoch, acked = msgspec.msgpack.decode(row or b"", type=tuple[int, int])
    except UNDECODABLE:
        return 0
    return acked if of_epoch == epoch else 0


def _refuse_an_empty_store(store: Store, folder: Path, log: LogIdentity) -> None:
    """Begin no log twice: under one name there would be two histories.

    Raises:
        StoreDamaged: the log was begun here, and nothing of it is left.
    """
    has_begun = (folder / "keys" / f"begun-e{log.epoch}").exists()
    if has_begun and store.get(Table.EDGE, EDGE_KEY) is None:
        raise StoreDamaged(
            f"the records of {log.origin} are gone: its store is empty",
            remedy="Nothing to do: the next start begins a new epoch of the journal.",
        )


def _look_at_what_a_start_needs(journal: Journal) -> None:
    """Read what the daemon will read before it serves: what is damaged there would end every start.

    Raises:
        StoreDamaged: so it is.
    """
    journal.last_decision_id()
    journal.saves()
    for command in journal.in_doubt():
        journal.decision(command.decision_id)


def _boot_id() -> bytes:
    return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))
