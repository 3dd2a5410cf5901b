"""How the tags went: thinned without losing a peak, decoded from recorded inputs, or from the evidence when those are gone."""

from __future__ import annotations

import struct

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.compiled import load_kernels
from gatewayd.core.site import compile_site
from gatewayd.device.build import plan_reads
from gatewayd.explain.trend import thinned, with_history
from gatewayd.journal.blocks.recorder import Recorder
from gatewayd.model.block import Block, Codec
from gatewayd.model.config import Asset, AssetType, Gateway, GatewayFile, Rule, SiteConfig, Then
from gatewayd.model.decision import Inputs
from gatewayd.model.device import ModbusTag, ModbusTcpDevice
from gatewayd.site.digest import digests, site_bytes
from tests.clock import ManualClock
from tests.core.scenario import FORM, MEMBERS, point
from tests.explain.made import explained, hot, keep

S = 1_000_000_000
RULE = Rule(id="hot", when="temp > 85", then=Then(set="speed", to="40"), why="bearing")
CONFIG = SiteConfig(
    gateway=GatewayFile(gateway=Gateway(name="test.example/gw")),
    devices={"plc": ModbusTcpDevice(name="plc", host="127.0.0.1")},
    tags={
        "plc": tuple(
            ModbusTag(name=name, register_type="holding", address=10 * place, type="float64", access="rw")
            for place, name in enumerate(MEMBERS)
        )
    },
    asset_types={"pump_type": AssetType(tags=MEMBERS, rule=(RULE,))},
    assets={"pump": Asset(type="pump_type", tags={name: f"plc/{name}" for name in MEMBERS})},
    points=(point(),),
    rules=(),
)
SITE = compile_site(CONFIG, plan_reads=plan_reads, digests=digests(CONFIG))


def read(values: dict[str, float], wall_ns: int) -> tuple[Block, ...]:
    """The responses that bring these values; every other register is 0."""
    blocks = []
    for plan in SITE.plans:
        payload = bytearray(plan.size)
        for row in plan.rows:
            value = values.get(SITE.tags[row.row].alias.partition(".")[2], 0.0)
            payload[row.offset : row.offset + 8] = struct.pack(">d", value)
        block = Block(plan.index, Codec.MODBUS_REGISTERS, wall_ns, wall_ns, wall_ns, payload=bytes(payload))
        blocks.append(block)
    return tuple(blocks)


async def recorded(storage, cycles: int):
    """A decision whose configuration and surrounding inputs are kept."""
    digest = await storage.journal.put_blob(site_bytes(CONFIG))
    plant = await hot(storage)
    effects = plant.effects
    body = msgspec.structs.replace(plant.decisions[-1], decision_id=2, cycle=cycles // 2, site_digest=digest)
    recorder = Recorder(storage.journal, ManualClock(), 1 << 20, plans_digest=digest)
    decided_ns = explained(storage, 1).detail.decision.time_ns
    for cycle in range(1, cycles + 1):
        wall_ns = decided_ns + (cycle - cycles // 2) * S
        blocks = read({"temp": 60.0 + cycle, "speed": 80.0 if cycle <= cycles // 2 else 40.0}, wall_ns)
        recorder.take(Inputs(cycle=cycle, wall_ns=wall_ns, mono_ns=wall_ns, blocks=blocks))
    (record,) = [record for record in effects.records if record.body is plant.decisions[-1]]
    await keep(
        storage, msgspec.structs.replace(effects, records=(msgspec.structs.replace(record, body=body),), commands=())
    )
    return recorder


async def test_recorded_inputs_become_trends_and_the_twin(storage):
    recorder = await recorded(storage, 40)
    await recorder.seal()
    found = with_history(storage.journal.store, explained(storage, 2), load_kernels(FORM))
    trends = {trend.tag: trend for trend in found.account.trends}
    assert trends["pump.speed"].source == "recorder"
    assert trends["pump.speed"].values == (80.0,) * 20 + (40.0,) * 20
    assert trends["pump.temp"].values[19] == 80.0
    assert {one.tag: one.value for one in found.account.twin}["pump.temp"] == 80.0
    assert found.account.rule.when == "temp > 85"
    assert found.account.limits.write_max == 100.0
    assert found.why == "bearing"


async def test_without_a_block_the_evidence_is_drawn_and_the_lack_is_said(storage):
    await recorded(storage, 10)  # never sealed
    found = with_history(storage.journal.store, explained(storage, 2), load_kernels(FORM))
    assert {trend.source for trend in found.account.trends} == {"evidence"}
    assert any("not sealed yet, or have expired" in lack for lack in found.account.not_recorded)


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=400), st.integers(3, 60))
def test_thinning_keeps_the_least_and_the_greatest(values, points_max):
    samples = list(enumerate(values))
    kept = thinned(samples, points_max)
    assert len(kept) <= points_max
    assert kept == sorted(kept, key=lambda sample: sample[0])
    good = [value for value in values if value is not None]
    if good:
        told = [value for _, value in kept if value is not None]
        assert (min(told), max(told)) == (min(good), max(good))
