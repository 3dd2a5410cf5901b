"""Rules are taken from the daemon's own folder, whole or not at all, between two cycles."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from gatewayd.compiled import load_kernels
from gatewayd.core.site import NS, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind
from gatewayd.cycle import Cycle, Plant
from gatewayd.device.build import plan_reads
from gatewayd.errors import ConfigError, RequestRefused, StoreError
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, ConfigLoaded
from gatewayd.rule_sets import RuleSets
from gatewayd.site.digest import digests, site_bytes
from gatewayd.site.load import require_site
from tests.clock import ManualClock
from tests.test_cycle import HandJournal

EXAMPLE = Path(__file__).resolve().parents[1] / "config"
ANA = Actor(uid=1000, role="operator", method="socket", name="ana")
POLICY = "policies/station.toml"


class KeepingJournal(HandJournal):
    """Keeps configurations, too."""

    blob = b""

    async def put_blob(self, content: bytes) -> bytes:
        self.blob = content
        return b""


class Running:
    """A cycle over the example site, and what applies rules to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(1_750_000_000 * NS, 1000 * NS)
        self.config = require_site(folder)
        self.site = compile_site(self.config, plan_reads=plan_reads, digests=digests(self.config))
        kernels = load_kernels("python")
        state = State(self.site, kernels, now_mono_ns=1000 * NS)
        self.journal = KeepingJournal([])
        self.inputs = []
        self.cycle = Cycle(
            Plant(state, self.site, bind(kernels, state)),
            self.journal,
            hand_over=lambda commands, sampled_ns: None,
            keep=self.inputs.append,
            clock=self.clock,
            first_cycle=0,
        )
        self.sites = []
        self.cycle.on_rules = self.sites.append
        self.log = HandLog()
        self.rule_sets = RuleSets(self.config, kernels, self.cycle, self.journal, relaxations=("x",), log=self.log)

    def rewrite(self, old: str, new: str, file: str = POLICY) -> None:
        path = self.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    async def apply(self):
        """Ask, and run cycles until there is an answer."""
        asked = asyncio.ensure_future(self.rule_sets.apply(ANA))
        async with asyncio.timeout(30):
            while not asked.done():
                await self.cycle.run_once()
                await asyncio.sleep(0.001)
        return await asked


class HandLog:
    def __init__(self) -> None:
        self.events = []

    def event(self, name, **fields):
        self.events.append((name, fields))


@pytest.fixture
def running(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "site")
    return Running(tmp_path / "site")


async def test_the_rules_of_the_folder_are_taken_and_journalled_before_their_first_cycle(running):
    await running.cycle.run_once()
    running.rewrite("tank_1.level > 3.5 for 2s", "tank_1.level > 3.4 for 2s")

    answer = await running.apply()

    assert (answer.rules, answer.kept, answer.ended) == (13, 12, 1)
    (record,) = [body for body in running.journal.bodies if isinstance(body, ConfigLoaded)]
    new = running.cycle.plant.site
    assert record.actor == Actor(ANA.uid, ANA.role, ANA.method), "who is on record; the name only as a hash"
    assert running.journal.personal == [{"actor_name": ANA.name}]
    assert (record.site_digest, record.policy_digest, record.insecure) == (*new.digests[:2], ("x",))
    assert record.site_digest != running.site.digests.site
    assert running.journal.blob == site_bytes(require_site(running.folder))
    assert running.sites == [new]
    numbers = [inputs.cycle for inputs in running.inputs]
    assert numbers == list(range(1, len(numbers) + 1)), "no cycle was missed"
    assert running.log.events[-1][1]["by"] == "ana"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (POLICY, "tank_1.level > 3.5 for 2s", "tank_1.lvl > 3.5 for 2s", "no tag `tank_1.lvl`"),
        ("twins/types.toml", "high = 4.2", "high = 4.3", "assets, contracts or detectors"),
        ("devices/plc_1.toml", "unit_id = 1", "unit_id = 2", "gateway.toml or a device"),
    ],
    ids=["a bad rule", "a contract", "a device"],
)
async def test_one_bad_rule_or_a_change_of_more_than_rules_changes_nothing(running, file, old, new, said):
    state = running.cycle.plant.state
    running.rewrite(old, new, file)

    with pytest.raises(ConfigError, match=said):
        await running.apply()
    assert running.cycle.plant.state is state
    assert running.journal.bodies == []


async def test_what_cannot_be_journalled_is_not_taken(running):
    state = running.cycle.plant.state
    await running.cycle.run_once()
    running.rewrite("tank_1.level > 3.5 for 2s", "tank_1.level > 3.4 for 2s")
    running.journal.fails = StoreError("disk error", remedy="look")

    with pytest.raises(StoreError):
        await running.apply()
    assert running.cycle.plant.state is state


async def test_one_rule_set_is_taken_at_a_time(running):
    first = asyncio.ensure_future(running.rule_sets.apply(ANA))
    await asyncio.sleep(0)

    with pytest.raises(RequestRefused, match="being taken"):
        await running.rule_sets.apply(ANA)
    async with asyncio.timeout(30):
        while not first.done():
            await running.cycle.run_once()
            await asyncio.sleep(0.001)
    assert (await first).kept == 13


async def test_a_rule_set_prepared_beside_a_state_that_is_no_longer_in_use_is_refused(running):
    _, swap = running.rule_sets._prepared()
    body = NewRecord(ConfigLoaded(b"", b"", b""))
    first = asyncio.ensure_future(running.cycle.take_rules(swap, body))
    await asyncio.sleep(0)
    await running.cycle.run_once()
    assert await first >= 0

    second = asyncio.ensure_future(running.cycle.take_rules(swap, body))
    await asyncio.sleep(0)
    await running.cycle.run_once()
    with pytest.raises(RequestRefused, match="taken meanwhile"):
        await second
