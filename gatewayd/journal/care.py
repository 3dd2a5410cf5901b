"""Care for the journal while it is open: what people ask of it, with the daemon running or stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gatewayd.clock import Clock
from gatewayd.journal.epoch import PendingEpoch, end_log_at_next_start
from gatewayd.journal.keys import create_next_key, left_to_the_administrator, load_identity, settle_keys
from gatewayd.journal.log import Journal
from gatewayd.journal.rotation import Rotated, rotate
from gatewayd.journal.witness import LogSuperseded, Trusted, Witnessed, Witnesses
from gatewayd.model.config import Journal as JournalConfig
from gatewayd.model.record import Actor
from gatewayd.model.view import JournalAnswer, JournalRequest


class Care:
    """One journal's.

    Args:
        journal: open for writing.
        config: who watches over it.
        folder: the daemon's storage folder.
        clock: for ages.
    """

    def __init__(self, journal: Journal, config: JournalConfig, folder: Path, clock: Clock) -> None:
        self._journal = journal
        self._folder = folder
        self._clock = clock
        self._rotating = asyncio.Lock()
        self.witnesses = Witnesses(journal, Trusted.parse(config.witnesses, config.mirrors))

    async def answer(self, request: JournalRequest, actor: Actor) -> JournalAnswer:
        """Do what is asked.

        Raises:
            RequestRefused, NoteError, StoreError: as the method for it.
        """
        if request.do == "rotate_key":
            return await self._answer_rotation(actor)
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
