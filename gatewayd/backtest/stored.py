"""Opens what a daemon's flight recorder kept, read-only, also beside the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatewayd.core.site import Site, compile_site
from gatewayd.device.build import plan_reads
from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.journal.blocks.sealed import Sealed, sealed_blocks, site_bytes_of
from gatewayd.site.digest import digests, site_from_bytes
from gatewayd.store.env import QUOTA_BYTES_MIN, Store


@contextmanager
def open_recorder(storage: Path) -> Iterator[tuple[Store, tuple[Sealed, ...]]]:
    """Open a storage folder's store with the blocks of its flight recorder.

    Raises:
        StoreError: it cannot be opened, or no block is sealed yet.
    """
    store = Store.open(storage / "store", QUOTA_BYTES_MIN, readonly=True)
    try:
        blocks = sealed_blocks(store)
        if not blocks:
            raise StoreError(
                f"{storage} holds no sealed block of inputs",
                remedy="The daemon seals one each storage.evidence_block_s seconds, and when it stops: ask again then.",
            )
        yield store, blocks
    finally:
        store.close()


def recorded_site(store: Store, digest: bytes) -> Site:
    """Return the site that a gateway ran with, compiled.

    Raises:
        StoreError: it is not kept, or of another version.
    """
    try:
        config = site_from_bytes(site_bytes_of(store, digest))
    except UNDECODABLE as error:
        raise StoreError(
            f"the configuration {digest.hex()[:16]} is of another version: {error}",
            remedy="Use the version that recorded it, or a recording as CSV.",
        ) from error
    return compile_site(config, plan_reads=plan_reads, digests=digests(config))
