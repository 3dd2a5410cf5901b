"""What a replay of exported records needs beside them: blocks of inputs, snapshots of the core, configurations.

Each is a file named by the SHA-256 that a record cites. They are most of the bytes that a gateway keeps, and say in full what a
plant measured, so they go with an export only when asked for. Names and reasons of people stand in none of them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from gatewayd.journal import blob, tail
from gatewayd.journal.export.folder import ExportFolder
from gatewayd.model.record import BlockSealed, Body, ConfigLoaded
from gatewayd.store.env import Store
from gatewayd.store.tables import Table

FOLDER: Final = "replay"


class ReplayFiles:
    """Writes them as the records that cite them come by. All blocks together are under `storage.evidence_mb`.

    Attributes:
        written: files.
        missing: cited, but no longer kept.
    """

    def __init__(self, store: Store, folder: ExportFolder) -> None:
        self._store = store
        self._folder = folder
        self._seen: set[bytes] = set()
        self.written = 0
        self.missing = 0

    def take(self, seq: int, body: Body) -> None:
        """Write what a record cites.

        Raises:
            JournalDamaged: it does not have the hash that is cited.
        """
        if isinstance(body, BlockSealed):
            self._write(seq, body.digest, self._store.get(Table.BLOCK, body.digest))
            if body.state:
                self._write(seq, body.state, self._store.get(Table.BLOCK, body.state))
            self._write_site(seq, body.plans_digest)
        elif isinstance(body, ConfigLoaded):
            self._write_site(seq, body.site_digest)

    def _write_site(self, seq: int, digest: bytes) -> None:
        packed = self._store.get(Table.BLOB, digest) if digest else None
        try:
            content = None if packed is None else blob.unpack(packed, digest)
        except ValueError as error:
            raise tail.damaged(seq, f"the configuration that it cites: {error}") from error
        self._write(seq, digest, content)

    def _write(self, seq: int, digest: bytes, content: bytes | None) -> None:
        if not digest or digest in self._seen:
            return
        self._seen.add(digest)
        if content is None:
            self.missing += 1
            return
        if sha256(content).digest() != digest:
            raise tail.damaged(seq, f"what it cites as {digest.hex()[:16]} does not have that hash")
        self._folder.write(f"{FOLDER}/{digest.hex()}", content)
        self.written += 1
