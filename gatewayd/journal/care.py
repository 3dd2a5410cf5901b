"""Care for the journal while it is open: what people ask of it, with the daemon running or stopped."""

from __future__ import annotations

from pathlib import Path

from gatewayd.clock import Clock
from gatewayd.journal.epoch import PendingEpoch, end_log_at_next_start
from gatewayd.journal.log import Journal
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
        self.witnesses = Witnesses(journal, Trusted.parse(config.witnesses, config.mirrors))

    async def answer(self, request: JournalRequest, actor: Actor) -> JournalAnswer:
        """Do what is asked.

        Raises:
            RequestRefused, NoteError, StoreError: as the method for it.
        """
        kept = await self.cosign(request.note)
        names = ", ".join(cosignature.cosigner.name for cosignature in kept.cosignatures)
        return JournalAnswer(message=f"Kept a checkpoint of {kept.size} records, cosigned by {names}.", size=kept.size)

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
