"""A gateway whose plant is paper: the daemon's own parts in this process, registers as a dict, a clock moved by hand.

Cycles, commits and blocks of the flight recorder are the real ones; what is missing is the network and the waiting. The site
is that of `hil.bench.site`: N tags, a toggle that trips a rule, a speed that the rule sets to a counter.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from gatewayd.app import Gateway
from gatewayd.clock import Clock
from gatewayd.compiled import load_kernels
from gatewayd.core.kernels import Kernels
from gatewayd.journal.keys import create_identity
from gatewayd.model.block import Block
from gatewayd.model.config import SiteConfig
from gatewayd.model.decision import Command, Mode, OutcomeResult, Request, SetMode, Stop, WriteOutcome
from gatewayd.model.record import Actor
from gatewayd.observe.events import EventLog
from gatewayd.site.load import require_site
from gatewayd.storage import Storage
from hil.bench.plc import SPEED

NS = 1_000_000_000
ANA = Actor(uid=1000, role="engineer", method="socket", name="ana")


class PaperClock:
    """Time that passes when it is told to; nobody is woken by it."""

    def __init__(self) -> None:
        self.wall, self.mono = 1_750_000_000 * NS, 1000 * NS

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.mono

    def call_at(self, deadline_ns: int, callback: object) -> PaperClock:
        return self

    def cancel(self) -> None:
        """Nothing was to happen."""

    async def sleep_until(self, deadline_ns: int) -> None:
        self.advance(max(0, deadline_ns - self.mono))

    def advance(self, by_ns: int) -> None:
        self.wall += by_ns
        self.mono += by_ns


class PaperGateway:
    """Runs of one gateway, one after the other, over one store.

    Args:
        site: a folder of `hil.bench.site.write_site`.
        form: of the kernels; None = what a gateway runs.
    """

    def __init__(self, site: Path, *, form: str | None = None) -> None:
        self.site = site
        self.clock: PaperClock = PaperClock()
        self.registers: dict[int, int] = {}
        self.kernels: Kernels = load_kernels(form)
        self.config: SiteConfig = require_site(site)
        self.store = Path(self.config.gateway.storage.path) / "store"
        self.vkey = create_identity(self.store.parent, self.config.gateway.gateway.name)[0].vkey
        self.commands: list[Command] = []
        self.is_over = False
        self.gateway: Gateway
        self.storage: Storage

    # --- its life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin a run, in AUTO from its first cycle on."""
        clock: Clock = self.clock
        self.is_over = False
        self.storage = Storage.open(self.config.gateway, clock)
        log = EventLog(clock, sys.stderr, burst=0)
        self.gateway = Gateway(self.config, self.kernels, self.storage, clock=clock, log=log)
        self.gateway.act.hand_over = self._take  # type: ignore[method-assign] # there is nobody to write to
        await self.gateway._journal_opening()
        self.gateway.recorder.begin()
        await self.ask(SetMode(mode=Mode.AUTO, reason="settled"))

    async def stop(self) -> None:
        """End the run as a technician would."""
        await self.ask(Stop(reason="the daemon is stopping"))
        await self.cycle()
        await self.gateway._say_goodbye()
        self.storage.close()
        self.is_over = True

    def kill(self) -> None:
        """End the run as a power cut would: what is in no sealed block is lost."""
        self.storage.journal._group.close()
        self.storage.store.settle()
        (self.store / "running").rename(self.store / "kept")
        self.storage.store.close()
        (self.store / "kept").rename(self.store / "running")
        self.is_over = True

    # --- its cycles ---------------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> None:
        """Run a cycle with a request in it."""
        self.gateway.cycle.request(request)
        await self.gateway.cycle.run_once()

    async def cycle(self, scan_class: str = "trip", *, seconds: float = 0.05) -> None:
        """Answer every read plan of a scan class, then every command of the cycle, in a cycle of its own."""
        self.clock.advance(round(seconds * NS))
        self.gateway.cycle.deliver(tuple(self.blocks(scan_class)))
        await self.gateway.cycle.run_once()
        while self.commands:
            await self._carry_out(self.commands.pop(0))

    async def set(self, registers: Mapping[int, int]) -> None:
        """Change registers, and let the gateway see it."""
        self.registers |= registers
        await self.cycle()

    def blocks(self, scan_class: str) -> Iterable[Block]:
        wall_ns, mono_ns = self.clock.wall, self.clock.mono
        for plan in self.gateway.cycle.plant.site.plans:
            if plan.scan_class == scan_class:
                start, count = int(plan.request[1]), int(plan.request[2])
                cells = (self.registers.get(address, 0) for address in range(start, start + count))
                yield Block(plan.index, plan.codec, wall_ns, wall_ns, mono_ns, struct.pack(f">{count}H", *cells))

    async def apply_rules(self) -> None:
        """Take the rules of the folder, as `gatewayd rules apply` does."""
        asked = asyncio.ensure_future(self.gateway.facade.rule_sets.apply(ANA))
        while not asked.done():
            self.clock.advance(NS // 100)
            await self.gateway.cycle.run_once()
            await asyncio.sleep(0.001)
        await asked

    async def seal(self) -> None:
        """Seal what is due, as the daemon's own task would between two cycles."""
        await self.gateway.recorder._seal_waiting()

    def _take(self, commands: tuple[Command, ...], _: int) -> None:
        self.commands += commands

    async def _carry_out(self, command: Command) -> None:
        """Write a register, and let the journal and the core know that it was verified."""
        self.clock.advance(NS // 1000)
        self.registers[SPEED] = round(command.value)
        wall_ns = self.clock.wall
        outcome = WriteOutcome(
            decision_id=command.decision_id,
            point=command.point,
            result=OutcomeResult.VERIFIED,
            value=command.value,
            read_back=command.value,
            sent_ns=wall_ns,
            answered_ns=wall_ns,
        )
        (writer,) = self.gateway.act.writers.values()
        await writer.settle(command, outcome)
        await self.gateway.cycle.run_once()
