"""What a sample takes in the flight recorder: a daemon polls the load's server for a while, and its blocks are counted."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.record import BlockSealed
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from hil.bench.loop import Plc
from hil.bench.site import write_site
from hil.daemon import Daemon


def bytes_per_sample(*, tags: int, seconds: float) -> float:
    """Return compressed bytes of sealed blocks over the samples in them."""
    with tempfile.TemporaryDirectory() as name, Plc() as port:  # a short path: it holds a socket
        folder = Path(name)
        daemon = Daemon(write_site(folder, tags=tags, port=port), folder / "control.sock", log=folder / "log")
        daemon.init()
        daemon.start()
        try:
            time.sleep(seconds)
        finally:
            daemon.stop()
        blocks = _blocks(next(folder.rglob("data.mdb")).parent)
    return sum(block.size for block in blocks) / max(1, sum(block.samples for block in blocks))


def _blocks(storage: Path) -> list[BlockSealed]:
    store = Store.open(storage, QUOTA_BYTES_MIN, readonly=True)
    try:
        leaves = store.read(lambda reading: Entries(reading).leaves(0, Entries(reading).size()))
    finally:
        store.close()
    bodies = [decode_leaf(leaf).body for leaf in leaves]
    return [body for body in bodies if isinstance(body, BlockSealed)]
