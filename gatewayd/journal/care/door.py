"""Care for the journal while it is open: what people ask of it, with the daemon running or stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec import UNSET

from gatewayd.clock import Clock
from gatewayd.errors import GatewayError, RequestRefused, StoreError
from gatewayd.journal.care.epoch import PendingEpoch, end_log_at_next_start
from gatewayd.journal.care.prune import Plan, plan, prune, sweep
from gatewayd.journal.care.rotation import Rotated, rotate
from gatewayd.journal.care.witness import LogSuperseded, Trusted, Witnessed, Witnesses
from gatewayd.journal.keys import create_next_key, left_to_the_administrator, load_identity, settle_keys
from gatewayd.journal.log import Journal
from gatewayd.model.config import Journal as JournalConfig
from gatewayd.model.record import Actor
from gatewayd.model.view import JournalAnswer, JournalRequest

NS = 1_000_000_000
DAY_NS = 86_400 * NS
PRUNE_EVERY_NS = 3600 * NS
CORE = Actor(uid=0, role="core", method="retention")


class Care:
    """One journal's.

    Args:
        journal: open for writing.
        config: who watches over it.
        folder: the daemon's storage folder.
        clock: for ages.

    Attributes:
        unsent_from: returns the first record that the collector does not have; without one, the journal's size.
    """

    def __init__(self, journal: Journal, config: JournalConfig, folder: Path, clock: Clock) -> None:
        self._journal = journal
        self._folder = folder
        self._clock = clock
        self._rotating = asyncio.Lock()
        self._pruning = asyncio.Lock()
        self._retention_ns = 0 if config.retention_d is UNSET else round(config.retention_d * DAY_NS)
        self.unsent_from: Callable[[], int] = lambda: journal.size
        self.witnesses = Witnesses(journal, Trusted.parse(config.witnesses, config.mirrors))

    async def answer(self, request: JournalRequest, actor: Actor) -> JournalAnswer:
        """Do what is asked.

        Raises:
            RequestRefused, NoteError, StoreError: as the method for it.
        """
        if request.do == "rotate_key":
            return await self._answer_rotation(actor)
        if request.do == "prune":
            return await self._answer_pruning(request, actor)
        kept = await self.cosign(request.note)
        names = ", ".join(cosignature.cosigner.name for cosignature in kept.cosignatures)
        return JournalAnswer(message=f"Kept a checkpoint of {kept.size} records, cosigned by {names}.", size=kept.size)

    async def _answer_rotation(self, actor: Actor) -> JournalAnswer:
        rotated = await self.rotate_key(actor)
        told = [
            f"From {rotated.size} records on the journal is signed with a new key.",
            f"Verifier key: {rotated.vkey}",
            left_to_the_administrator()
            or "The old key is erased. Verifiers may keep the old verifier key: the journal proves the way to the new one.",
        ]
        return JournalAnswer(message="\n".join(told), size=rotated.size, vkey=rotated.vkey)

    async def _answer_pruning(self, request: JournalRequest, actor: Actor) -> JournalAnswer:
        older_than_ns = self._clock.wall_ns() - round(request.older_than_s * NS)
        planned = await self.plan(older_than_ns) if request.dry_run else await self.prune(older_than_ns, actor)
        span = f"records {planned.first} to {planned.end - 1}"
        if planned.end == planned.first:
            message = f"Nothing to prune before record {planned.first}: {planned.why}."
        elif request.dry_run:
            message = f"Would prune {span}. What follows stays: {planned.why}."
        else:
            message = (
                f"Pruned {span}. What follows stays: {planned.why}. Roots and proofs from {planned.end} on still hold."
            )
        return JournalAnswer(message=message, size=planned.mirrored.size, first=planned.first, end=planned.end)

    async def plan(self, older_than_ns: int) -> Plan:
        """Return what may be pruned of what was written before a wall time.

        Raises:
            RequestRefused: no mirror has the records.
        """
        return await plan(
            self._journal,
            self.witnesses.mirrored(),
            older_than_ns=older_than_ns,
            unsent_from=self.unsent_from(),
            clock=self._clock,
        )

    async def prune(self, older_than_ns: int, actor: Actor) -> Plan:
        """Remove what may be pruned, and what an earlier time left half removed; return what was chosen.

        Raises:
            RequestRefused: no mirror has the records.
            StoreError: the disk refuses; what is begun goes on with the next call.
        """
        async with self._pruning:
            planned = await self.plan(older_than_ns)
            if planned.end > planned.first:
                await prune(self._journal, planned, actor, wall_ns=self._clock.wall_ns())
            await sweep(self._journal, self._clock)
        return planned

    async def run(self, on_failure: Callable[[GatewayError], None]) -> None:
        """Finish what an earlier run began to remove; then prune by the configured retention, once an hour.

        Args:
            on_failure: told why not; it is tried again an hour later.
        """
        while True:
            try:
                if self._retention_ns:
                    await self.prune(self._clock.wall_ns() - self._retention_ns, CORE)
                else:
                    await sweep(self._journal, self._clock)
            except (StoreError, RequestRefused) as error:
                on_failure(error)
            await self._clock.sleep_until(self._clock.monotonic_ns() + PRUNE_EVERY_NS)

    async def rotate_key(self, actor: Actor) -> Rotated:
        """Hand the journal over to a new key and erase the old one.

        Raises:
            StoreError: it could not be made durable; the next start or the next call finishes what is open.
        """
        async with self._rotating:
            log, _ = load_identity(self._folder)
            rotated = await rotate(self._journal, create_next_key(log, self._folder), actor)
            settle_keys(log, rotated.vkey, self._folder)
        return rotated

    async def cosign(self, note: str) -> Witnessed:
        """Keep a checkpoint that came back cosigned.

        Raises:
            LogSuperseded: it proves that this log is an old copy; the next start begins a new epoch.
            NoteError: it is refused; see `Witnesses.add`.
            StoreError: it cannot be kept.
        """
        try:
            return await self.witnesses.add(note)
        except LogSuperseded as found:
            self._journal.stop_signing()
            pending = PendingEpoch(self._journal.origin, found.checkpoint, found.message)
            end_log_at_next_start(self._folder, pending)
            raise
