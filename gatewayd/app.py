"""The composition root: builds every part from a site folder and owns all tasks in one TaskGroup."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gatewayd.act.recovery import resolve_in_doubt
from gatewayd.act.writer import Act
from gatewayd.clock import Clock, SystemClock
from gatewayd.compiled import load_kernels
from gatewayd.control.peer import Authority
from gatewayd.control.server import ControlServer
from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.lifecycle import UNSEEN_KEY, await_outcomes, restore
from gatewayd.core.kernels import Kernels
from gatewayd.core.site import NS, compile_site
from gatewayd.core.snapshot import Captured, capture
from gatewayd.core.state import State
from gatewayd.core.step import bind
from gatewayd.cycle import Cycle, Plant
from gatewayd.device.bounded import BoundedLink
from gatewayd.device.build import build_link, plan_reads
from gatewayd.device.link import Link
from gatewayd.errors import GatewayError, StoreError, StoreFull, TransientError
from gatewayd.facade import GatewayFacade
from gatewayd.inhibits import Inhibit
from gatewayd.journal.blocks.states import Camera
from gatewayd.journal.scrub import scrub
from gatewayd.learned import DetectorMemory
from gatewayd.memory import give_large_blocks_back, refuse_exec_gain
from gatewayd.model.block import ReadPlan
from gatewayd.model.config import SiteConfig
from gatewayd.model.decision import RUN_SHIFT, Command, NewRecord, Stop
from gatewayd.model.device import OpcuaDevice, Tag
from gatewayd.model.record import ConfigLoaded, Decision, Gap, Start, Stopped
from gatewayd.model.view import MemoryView
from gatewayd.observe.events import EventLog, for_stderr
from gatewayd.observe.notify import Notifier, from_environment
from gatewayd.quota import StorageWatch, limits_of
from gatewayd.rule_sets import RuleSets
from gatewayd.sense.breaker import Breaker
from gatewayd.sense.poller import Poller
from gatewayd.sense.schedule import ScanSchedule
from gatewayd.site.digest import digests, site_bytes
from gatewayd.site.kept import keep_site, kept_site, sources_digest
from gatewayd.site.quota import quota_in
from gatewayd.site.sharing import share_equal
from gatewayd.storage import MB, Storage
from gatewayd.supervise import keep_running
from gatewayd.unseen import REMEDY, encode_unseen, saved_unseen, unseen_after
from gatewayd.version import __version__

if TYPE_CHECKING:
    from gatewayd.sync.uplink import Uplink

STOP_WITHIN_NS = 5 * NS
RECORDER_FULL = (
    "new cycles are not recorded: what is open or retained fills the flight recorder; raise storage.evidence_mb, "
    "or let some go with `gatewayd decisions release`"
)
SITE_RUN_KEY = "run"  # how often this store was started; makes cycle numbers unique


def run(folder: Path) -> int:
    """Run the gateway of a site folder until SIGTERM or SIGINT; return the exit code.

    Raises:
        GatewayError: it cannot start; nothing was written to any device.
    """
    import uvloop  # here, so that the command line does not pay for it

    give_large_blocks_back()
    gc.disable()  # what a start builds stays; `Gateway.run` freezes it and lets the collector go on
    try:
        config = share_equal(kept_site(folder) or _checked_site(folder))
        kernels = load_kernels()
        memory = refuse_exec_gain(kernels.form)
        log = for_stderr()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_main(config, kernels, log, memory))
    finally:
        gc.enable()


def _checked_site(folder: Path) -> SiteConfig:
    from gatewayd.site.load import require_site  # a start with a site that is known does without the parser

    sources = sources_digest(folder)
    config = require_site(folder)
    gc.collect()  # the parser's cycles
    keep_site(config, sources)
    return config


async def _main(config: SiteConfig, kernels: Kernels, log: EventLog, memory: MemoryView) -> int:
    clock = SystemClock()
    storage = Storage.open(config.gateway, clock)
    try:
        gateway = Gateway(config, kernels, storage, clock=clock, log=log)
        gateway.facade.memory = memory
        await gateway.run()
    finally:
        storage.close()
    return 0


class Gateway:
    """One running daemon.

    Args:
        config: a checked site.
        kernels: compiled code.
        storage: the open store with its journal, recorder and cursors.
        clock: wall and boot time.
        log: where events go.
    """

    def __init__(self, config: SiteConfig, kernels: Kernels, storage: Storage, *, clock: Clock, log: EventLog) -> None:
        self._config = config
        self._storage = storage
        self._clock = clock
        self._log = log
        self._notifier: Notifier = from_environment()
        self._stop = asyncio.Event()
        self._site_bytes = site_bytes(config)
        self.site = compile_site(config, plan_reads=plan_reads, digests=digests(config, self._site_bytes))
        state = State(self.site, kernels, now_mono_ns=clock.monotonic_ns())
        state.boot_id = storage.boot_id
        state.next_decision_id = storage.journal.last_decision_id() + 1
        self.recorder = storage.recorder(config.gateway, self.site.plans, digest=self.site.digests.site, clock=clock)
        self.recorder.camera = Camera(self._captured)
        saves = storage.journal.saves()
        self._run_number = int.from_bytes(saves.get(SITE_RUN_KEY, b""), "big") + 1
        self.cycle = Cycle(
            Plant(state, self.site, bind(kernels, state)),
            storage.journal,
            hand_over=self._hand_over,
            keep=self.recorder.take,
            clock=clock,
            first_cycle=self._run_number << RUN_SHIFT,
        )
        links = self._links()
        self.act = Act(
            lambda row: self.site.tags[row].device, links, storage.journal, report=self.cycle.report, clock=clock
        )
        for writer in self.act.writers.values():
            writer.on_sent = self.cycle.pace.decision.add
        self.pollers = tuple(
            self._poller(name, link, place, len(links)) for place, (name, link) in enumerate(links.items())
        )
        self._links_open = links
        limits = limits_of(config.gateway.storage)
        self.watch = StorageWatch(storage.store, self.recorder, self.cycle, limits, clock=clock, log=log)
        self.watch.quota_wanted = lambda: quota_in(Path(config.folder)) * MB
        self.watch.enlarge = storage.journal.enlarge
        self.cycle.inhibits.begin(Inhibit.SETTLING, "settling after the start")
        self.uplink = self._build_uplink()
        self.facade = self._build_facade(kernels)
        self.facade.journal_care = storage.care
        self.facade.rule_sets = self._build_rule_sets(kernels)
        self.learned = DetectorMemory(state, self.site, storage.learned, clock=clock, log=log)
        # as the last run left them: this run's own writes enter the same table
        self._in_doubt = [(self._point_of(command), command) for command in storage.journal.in_doubt()]
        self.unseen = saved_unseen(saves)
        self._opening = self._opening_records(kernels, state, saves)

    # --- building ---------------------------------------------------------------------------------------------------

    def _hand_over(self, commands: tuple[Command, ...], sampled_ns: int) -> None:
        self.act.hand_over(commands, sampled_ns)

    def _captured(self, buffer: bytearray | None) -> Captured:
        plant = self.cycle.plant
        return capture(plant.state, plant.site, cycle=self.cycle.number, buffer=buffer)

    def _links(self) -> dict[str, Link]:
        folder = Path(self._config.folder)
        tags: dict[str, list[tuple[int, Tag]]] = {name: [] for name in self._config.devices}
        plans: dict[str, list[ReadPlan]] = {name: [] for name in self._config.devices}
        for tag in self.site.tags:
            tags[tag.device].append((tag.row, tag.config))
        for plan in self.site.plans:
            plans[plan.device].append(plan)
        return {
            name: BoundedLink(
                build_link(
                    device,
                    tags[name],
                    plans[name],
                    clock=self._clock,
                    folder=folder,
                    identity_folder=self._storage.folder / "identity",
                ),
                timeout_ms=device.timeout_ms,
                clock=self._clock,
            )
            for name, device in self._config.devices.items()
        }

    def _poller(self, name: str, link: Link, place: int, places: int) -> Poller:
        device = self._config.devices[name]
        periods_ns = {
            scan_class: settings.period_ms * 1_000_000 for scan_class, settings in device.scan_classes.items()
        }
        poller = Poller(
            link,
            ScanSchedule(periods_ns, link.plans, start_mono_ns=self._clock.monotonic_ns(), place=place, places=places),
            Breaker(device.demote_after, round(device.demote_for_s * NS)),
            deliver=self.cycle.deliver,
            note=self.cycle.note,
            clock=self._clock,
        )
        poller.protocol = str(type(device).__struct_config__.tag)
        return poller

    def _build_uplink(self) -> Uplink | None:
        cloud = self._config.gateway.cloud
        if cloud is None:
            return None
        from gatewayd.sync.uplink import Uplink  # with the MQTT client: only for sites that have a cloud

        journal = self._storage.journal
        uplink = Uplink(
            cloud, self._config.gateway.gateway.name, self._storage.epoch, journal, self._storage.cursors, self._clock
        )
        self.cycle.on_cycle = uplink.notify
        uplink.on_change = self._cloud_changed
        return uplink

    def _build_facade(self, kernels: Kernels) -> GatewayFacade:
        facade = GatewayFacade(
            self.cycle,
            self._storage.journal,
            self.pollers,
            uplink=self.uplink,
            clock=self._clock,
            config=self._config.gateway,
        )
        facade.kernel_form = kernels.form
        facade.storage = self.watch.view
        read_only = tuple(f"{name} is read-only: its guard list is incomplete" for name in self.site.read_only)
        self._standing_warnings = read_only + self._relaxations() + self._given_up()
        facade.warnings = self._standing_warnings
        facade.notices = self._notices
        facade.is_recorded = self.recorder.has
        return facade

    def _build_rule_sets(self, kernels: Kernels) -> RuleSets:
        self.cycle.on_rules = lambda site: self.recorder.change_site(site.digests.site)
        return RuleSets(
            self._config, kernels, self.cycle, self._storage.journal, relaxations=self._relaxations(), log=self._log
        )

    def _relaxations(self) -> tuple[str, ...]:
        """Return every security relaxation that somebody accepted, in words."""
        named = [
            f"device {name} without OPC UA security, {insecure}"
            for name, device in self._config.devices.items()
            if (insecure := getattr(device, "insecure", None))
        ]
        cloud = self._config.gateway.cloud
        if cloud is not None and cloud.insecure:
            named.append(f"cloud link without TLS, {cloud.insecure}")
        return tuple(named)

    def _notices(self) -> tuple[str, ...]:
        """Return what a person should do something about for as long as it lasts."""
        return (RECORDER_FULL,) if self.recorder.is_full_of_pins else ()

    def _given_up(self) -> tuple[str, ...]:
        """Say that the journal before this one was damaged, for as long as its store is kept here."""
        previous = self._storage.previous
        if previous is None or not (self._storage.folder / previous.kept_as).exists():
            return ()
        self._log.event("journal_damaged", level="error", origin=previous.origin, reason=previous.reason)
        return (f"the journal {previous.origin} is damaged: have {previous.kept_as} audited, then remove it",)

    def _opening_records(
        self, kernels: Kernels, state: State, saves: Mapping[str, bytes]
    ) -> tuple[list[NewRecord], dict[str, bytes]]:
        """Return the records of the start, with what the last run left behind taken up into the state."""
        journal = self._storage.journal
        draft = Draft(self.cycle.number, self._clock.wall_ns(), self._clock.monotonic_ns())
        if not self._storage.was_clean and journal.size > 1:
            draft.record(self.recorder.lost_tail(self._run_number - 1))
        if (previous := self._storage.previous) is not None and journal.size == 1:
            reason = f"{previous.origin} is damaged and kept as {previous.kept_as}: {previous.reason}"
            draft.record(Gap(stream="journal", first=0, last=0, count=0, reason=reason))
            self.unseen = unseen_after(previous, self._storage.folder, now_wall_ns=draft.wall_ns)
            draft.record(self.unseen.gap())
            draft.saves[UNSEEN_KEY] = encode_unseen(self.unseen)
        self._wait_for_a_person()
        draft.record(
            Start(
                version=__version__,
                kernel_digest=kernels.digest,
                in_doubt=len(journal.in_doubt()),
                clean=self._storage.was_clean,
            )
        )
        draft.record(
            ConfigLoaded(
                site_digest=self.site.digests.site,
                policy_digest=self.site.digests.policy,
                model_digest=self.site.digests.model,
                insecure=self._relaxations(),
            )
        )
        restore(state, self.site, draft, {key: value for key, value in saves.items() if "/" in key})
        if damaged := self.learned.restore().damaged:
            reason = f"what detectors had learned is damaged ({', '.join(damaged)}); they start anew"
            draft.record(Gap(stream="detectors", first=0, last=0, count=len(damaged), reason=reason))
        await_outcomes(state, self.site, [(name, command.decision_id) for name, command in self._in_doubt])
        draft.saves[SITE_RUN_KEY] = self._run_number.to_bytes(8, "big")
        return draft.records, draft.saves

    def _wait_for_a_person(self) -> None:
        """Stay in MONITOR for as long as nobody has seen that a damaged journal was given up."""
        if (unseen := self.unseen) is None:
            return
        self.facade.unseen = unseen
        self.cycle.inhibits.begin(Inhibit.EPOCH, unseen.reason)
        held = ", ".join(one.point for one in unseen.held)
        self._log.event("automatic_writes_wait", level="error", reason=unseen.reason, held=held, remedy=REMEDY)

    # --- running ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until told to stop, then send what we command to its fail-safe values and say goodbye."""
        self._catch_signals()
        await self._journal_opening()
        self.recorder.begin()
        cloud_name = "" if self.uplink is None else " with cloud link"
        self._log.event("gateway_started", tags=len(self.site.tags), points=len(self.site.points))
        server = self._server()
        server.listen()
        gc.freeze()  # what start-up built stays; the collector need not look at it again
        gc.enable()
        async with asyncio.TaskGroup() as tasks:
            own = [tasks.create_task(body, name=name) for name, body in self._bodies(server)]
            self._notifier.ready(f"{len(self.site.tags)} tags{cloud_name}")
            await self._stop.wait()
            self._notifier.stopping()
            await self._stop_safely()
            server.stop()
            for task in own:
                if task.get_name() != "control":
                    task.cancel()
        await self._say_goodbye()

    async def _journal_opening(self) -> None:
        """Journal the start. A full journal does not keep the gateway from watching; its records follow when there is room.

        The configuration's bytes do not: until the next start `explain` then lacks what the rules' authors said.
        """
        journal, (records, saves) = self._storage.journal, self._opening
        try:
            await journal.commit(records, saves=saves)
        except StoreFull:
            self.cycle.take_over([record.body for record in records], saves)
        try:
            await journal.put_blob(self._site_bytes)
        except StoreFull as error:
            self._log.event("journal_full", level="error", error=error.message, remedy=error.remedy)
        self._site_bytes = b""

    def _bodies(self, server: ControlServer) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        yield "cycle", self.cycle.run()
        for poller in self.pollers:
            yield f"sense.{poller.link.name}", poller.run()
        for name, writer in self.act.writers.items():
            yield f"act.{name}", writer.run()
        if self.uplink is not None:
            yield "sync", keep_running("sync", self.uplink.run, clock=self._clock, on_restart=self._restarted)
        if any(getattr(device, "security", "None") != "None" for device in self._config.devices.values()):
            yield "certificates", self._watch_certificates()
        yield "control", server.serve()
        yield "journal", self._storage.journal.run()
        yield "care", self._storage.care.run(self._prune_failed)
        yield "recorder", self.recorder.run()
        yield "storage", self.watch.run()
        yield "scrub", self._scrub()
        yield "detectors", self.learned.run()
        yield "settle", self._settle()
        yield "watchdog", self._watchdog()

    async def _watch_certificates(self) -> None:
        from gatewayd.device.opcua.expiry import CertificateWarning, CertificateWatch  # only for sites that have any

        def show(warnings: tuple[str, ...]) -> None:
            self.facade.warnings = self._standing_warnings + warnings

        def tell(warning: CertificateWarning) -> None:
            self._log.event("certificate_ending", level="warning", problem=warning.text, remedy=warning.remedy)

        devices = [device for device in self._config.devices.values() if isinstance(device, OpcuaDevice)]
        folder, identity = Path(self._config.folder), self._storage.folder / "identity"
        await CertificateWatch(devices, folder, identity, clock=self._clock, show=show, tell=tell).run()

    def _server(self) -> ControlServer:
        return ControlServer(
            self.facade,
            Path(self._config.gateway.control.socket),
            Authority(self._config.gateway.roles, own_uid=os.getuid()),
            clock=self._clock,
            log=self._log,
        )

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    def _cloud_changed(self, connected: bool, reason: str) -> None:
        if connected:
            self._log.event("cloud_connected")
        else:
            self._log.event("cloud_lost", level="warning", reason=reason)

    def _restarted(self, name: str, error: TransientError) -> None:
        self._log.event("part_restarted", level="warning", part=name, error=error.message)

    async def _scrub(self) -> None:
        """Read the whole journal once; what is damaged is journalled, and said."""
        if damaged := await scrub(self._storage.journal, self._clock):
            self._log.event("journal_damaged", level="error", records=damaged)

    def _prune_failed(self, error: GatewayError) -> None:
        self._log.event("prune_failed", level="warning", error=error.message, remedy=error.remedy)

    async def _settle(self) -> None:
        """MONITOR until the settle time is over and every write in doubt has been read back; then AUTO."""
        settled_ns = self._clock.monotonic_ns() + round(self._config.gateway.gateway.settle_s * NS)
        await resolve_in_doubt(self.act, self.site, self._in_doubt)
        await self._clock.sleep_until(settled_ns)
        self.cycle.permit(Inhibit.SETTLING, "settled")
        self._log.event("gateway_settled", resolved=len(self._in_doubt))

    def _point_of(self, command: Command) -> str:
        """Return the name of the point a command in doubt was for; its row numbers belong to an older configuration."""
        record = self._storage.journal.decision(command.decision_id)
        return record.leaf.body.point if record and isinstance(record.leaf.body, Decision) else ""

    async def _watchdog(self) -> None:
        """Tell systemd that the loop turns; a loop that hangs falls silent and is restarted."""
        while self._notifier.watchdog_ns:
            await self._clock.sleep_until(self._clock.monotonic_ns() + self._notifier.watchdog_ns // 2)
            self._notifier.watchdog()

    async def _stop_safely(self) -> None:
        """Ask the core for fail-safe values and wait, within reason, for their outcomes."""
        self._log.event("gateway_stopping")
        self.cycle.request(Stop(reason="the daemon is stopping"))
        deadline_ns = self._clock.monotonic_ns() + STOP_WITHIN_NS
        state = self.cycle.plant.state
        while self._clock.monotonic_ns() < deadline_ns:
            await self._clock.sleep_until(self._clock.monotonic_ns() + 20_000_000)
            if state.stopping and not any(point.in_flight for point in state.points):
                return

    async def _say_goodbye(self) -> None:
        for link in self._links_open.values():
            await link.close()
        try:
            await self.learned.save()
            await self.recorder.seal()
            await self._storage.journal.commit((NewRecord(body=Stopped(reason="asked to stop")),))
        except StoreError as error:
            self._log.event("goodbye_lost", level="error", error=error.message, remedy=error.remedy)
        self._log.event("gateway_stopped")
