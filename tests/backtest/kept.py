"""A storage folder as a daemon leaves it: one sealed block of cycles, and the site they were run with."""

from __future__ import annotations

from pathlib import Path

from gatewayd.core.site import compile_site
from gatewayd.device.build import plan_reads
from gatewayd.journal.blocks.recorder import Recorder
from gatewayd.model.block import Block, Codec
from gatewayd.model.decision import Inputs, Mode, SetMode
from gatewayd.model.quality import BAD_NOT_CONNECTED
from gatewayd.site.digest import digests, site_bytes
from tests.clock import ManualClock
from tests.journal.samples import open_journal, open_store

RUN = 1 << 40
NS = 1_000_000_000
T0_NS = 1_714_564_800 * NS


async def keep_cycles(storage: Path, config, *, seconds: int) -> None:
    """Record a run in which no device answers."""
    clock = ManualClock()
    store = open_store(storage / "store")
    journal = open_journal(store, clock)
    site = compile_site(config, plan_reads=plan_reads, digests=digests(config))
    recorder = Recorder(journal, clock, 8 << 20, plans_digest=await journal.put_blob(site_bytes(config)))
    for second in range(seconds):
        wall_ns, mono_ns = T0_NS + second * NS, (1000 + second) * NS
        blocks = tuple(
            Block(plan.index, Codec.LOST, wall_ns, wall_ns, mono_ns, status=BAD_NOT_CONNECTED) for plan in site.plans
        )
        requests = () if second else (SetMode(mode=Mode.AUTO, reason="settled"),)
        recorder.take(Inputs(RUN + 1 + second, wall_ns, mono_ns, blocks, (), requests))
    await recorder.seal()
    journal.close()
    store.close()
