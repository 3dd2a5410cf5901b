"""A plant on paper: a site of two devices, samples given by name, a clock moved by hand, real kernels.

plant = Scenario(rules=[...], points=[...])
plant.sample(temp=90.0)
plant.advance(seconds=5)
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Sequence

import msgspec

from gatewayd.compiled import load_kernels
from gatewayd.core.decide.draft import Draft
from gatewayd.core.site import NS, Digests, Site, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.model.block import Block, Codec, PlanRow, ReadPlan, WireType
from gatewayd.model.config import Asset, AssetType, Contract, Gateway, GatewayFile, Point, Rule, SiteConfig, Then
from gatewayd.model.decision import (
    ClearOverride,
    Command,
    Effects,
    Inputs,
    Mode,
    OutcomeResult,
    Request,
    SetMode,
    SetOverride,
    WriteOutcome,
)
from gatewayd.model.detectors import AssetDetect
from gatewayd.model.device import ModbusTag, ModbusTcpDevice
from gatewayd.model.record import Actor, AlarmEvent, Decision, OverrideEvent, RuleEvent

ANA = Actor(uid=1000, role="operator", method="socket", name="ana")
FORM = os.environ.get("GATEWAYD_KERNELS", "python")
MEMBERS = {
    "temp": Contract(units="degC", low=-20.0, high=150.0),
    "flow": Contract(units="m3/h", stuck_after_s=3.0),
    "ready": Contract(),
    "fault": Contract(),
    "speed": Contract(units="%"),
    "speed_now": Contract(units="%"),
}


def point(**changes: object) -> Point:
    """A complete guard list for pump.speed, wide open unless a test narrows it."""
    guards: dict[str, object] = {
        "tag": "pump.speed",
        "write_min": 0.0,
        "write_max": 100.0,
        "write_step": 100.0,
        "max_rate": 1000.0,
        "min_on_s": 0.0,
        "min_off_s": 0.0,
        "fail_safe_value": 20.0,
        "readback": "pump.speed_now",
        "readback_tolerance": 0.5,
        "input_age_max_s": 10.0,
        "fail_safe_after_s": 30.0,
    }
    return Point(**(guards | changes))  # type: ignore[arg-type]


def rule(when: str, *, to: str = "40", clear: str | None = None, slot: int = 12, **more: object) -> Rule:
    """A rule of the pump that sets its speed."""
    then = Then(set="speed", to=to, slot=slot, ttl=str(more.pop("ttl", "10m")))  # type: ignore[arg-type]
    return Rule(id=str(more.pop("id", "hot")), when=when, clear=clear, then=then, **more)  # type: ignore[arg-type]


HOT = rule("temp > 85", to="min(speed, 40)", clear="temp < 75")


def hot_plant(*rules: Rule, **changes: object) -> Scenario:
    """A cool pump at 80 %, with the rule that slows it down when its bearing is hot."""
    plant = Scenario(rules=rules or [HOT], points=[point(**changes)])
    plant.sample(temp=60.0, speed=80.0, speed_now=80.0)
    return plant


def site_of(
    rules: Sequence[Rule],
    points: Sequence[Point],
    members: dict[str, Contract] | None = None,
    together: AssetDetect | None = None,
) -> Site:
    contracts = members or MEMBERS
    tags = tuple(
        ModbusTag(name=name, register_type="holding", address=10 * place, type="float64", access="rw")
        for place, name in enumerate(contracts)
    )
    config = SiteConfig(
        gateway=GatewayFile(gateway=Gateway(name="test.example/gw")),
        devices={"plc": ModbusTcpDevice(name="plc", host="127.0.0.1")},
        tags={"plc": tags},
        asset_types={"pump_type": AssetType(tags=contracts, rule=tuple(rules), together=together)},
        assets={"pump": Asset(type="pump_type", tags={name: f"plc/{name}" for name in contracts})},
        points=tuple(points),
        rules=(),
    )

    def plan_each(device: object, numbered: Sequence[tuple[int, object]], first: int) -> tuple[ReadPlan, ...]:
        return tuple(
            ReadPlan(
                index=first + place,
                device="plc",
                scan_class="default",
                codec=Codec.COLUMNS,
                rows=(PlanRow(row=row, offset=0, type=WireType.FLOAT64),),
                request=(),
            )
            for place, (row, _) in enumerate(numbered)
        )

    return compile_site(config, plan_reads=plan_each, digests=Digests(b"s" * 32, b"p" * 32, b"m" * 32))


class Scenario:
    """Runs cycles and keeps what they decided."""

    def __init__(
        self,
        *,
        rules: Sequence[Rule] = (),
        points: Sequence[Point] = (),
        auto: bool = True,
        contracts: dict[str, Contract] | None = None,
        together: AssetDetect | None = None,
    ) -> None:
        self.site = site_of(rules, points or (point(),), contracts, together)
        self.mono_ns = 1000 * NS
        self.wall_ns = 1_750_000_000 * NS
        kernels = load_kernels(FORM)
        self.state = State(self.site, kernels, now_mono_ns=self.mono_ns)
        self.state.boot_id = b"b" * 16
        self.kernels = bind(kernels, self.state)
        self.number = 0
        self.effects = Effects()
        self.history: list[object] = []
        self.commands: list[Command] = []
        self.saves: dict[str, bytes] = {}
        self.row = {name.split(".")[1]: row for name, row in self.site.rows.items() if name.startswith("pump.")}
        if auto:
            self.cycle(requests=(SetMode(mode=Mode.AUTO, reason="test"),))

    # --- given ------------------------------------------------------------------------------------------------------

    def sample(self, *, status: int = 0, **values: float) -> Effects:
        """One cycle in which these tags are read; other tags are not."""
        return self.cycle(blocks=tuple(self.block(name, value, status) for name, value in values.items()))

    def block(self, name: str, value: float, status: int = 0) -> Block:
        payload = struct.pack("<dqq", value, status, self.wall_ns)
        return Block(
            plan=self.row[name],
            codec=Codec.COLUMNS,
            request_time_ns=self.wall_ns,
            response_time_ns=self.wall_ns,
            response_mono_ns=self.mono_ns,
            payload=payload,
        )

    def lose(self, *names: str, status: int = 0x800A0000) -> Effects:
        """One cycle in which reading these tags failed."""
        return self.cycle(
            blocks=tuple(
                Block(
                    plan=self.row[name],
                    codec=Codec.LOST,
                    request_time_ns=self.wall_ns,
                    response_time_ns=self.wall_ns,
                    response_mono_ns=self.mono_ns,
                    status=status,
                )
                for name in names
            )
        )

    def ask(self, request: Request) -> Effects:
        return self.cycle(requests=(request,))

    def override(
        self, value: float, *, seconds: float = 60, tag: str = "pump.speed", reason: str = "test run"
    ) -> Effects:
        return self.ask(
            SetOverride(
                point=tag, value=value, duration_ns=round(seconds * NS), reason=reason, actor=ANA, request_id="1"
            )
        )

    def settle(self, result: OutcomeResult = OutcomeResult.VERIFIED, read_back: float | None = None) -> Effects:
        """Report the outcome of the last command; a tenth of a second passes."""
        command = self.commands[-1]
        self.outcome_of(command, result, read_back)
        self._move_to(self.mono_ns + NS // 10)  # the next sample comes later, as it would
        return self.effects

    def outcome_of(self, command: Command, result: OutcomeResult, read_back: float | None = None) -> Effects:
        """Report the outcome of a command."""
        outcome = WriteOutcome(
            decision_id=command.decision_id,
            point=command.point,
            result=result,
            value=command.value,
            read_back=command.value if read_back is None else read_back,
            sent_ns=self.wall_ns,
            answered_ns=self.wall_ns,
        )
        return self.cycle(outcomes=(outcome,))

    def advance(self, seconds: float) -> Effects:
        """Move the clock to its end in the steps the core asked for."""
        end = self.mono_ns + round(seconds * NS)
        while 0 < self.effects.next_mono_ns <= end:
            self._move_to(max(self.effects.next_mono_ns, self.mono_ns))
            before = self.effects.next_mono_ns
            self.cycle()
            assert self.effects.next_mono_ns != before, "a deadline that is never met keeps the loop spinning"
        self._move_to(end)
        return self.effects

    def _move_to(self, mono_ns: int) -> None:
        self.wall_ns += mono_ns - self.mono_ns
        self.mono_ns = mono_ns

    def cycle(self, **inputs: object) -> Effects:
        self.number += 1
        value = Inputs(cycle=self.number, wall_ns=self.wall_ns, mono_ns=self.mono_ns, **inputs)  # type: ignore[arg-type]
        self.effects = step(self.state, self.site, self.kernels, value)
        self.history += [record.body for record in self.effects.records]
        self.commands += self.effects.commands
        self.saves = {key: value for key, value in (self.saves | self.effects.saves).items() if value}
        return self.effects

    def release(self) -> Effects:
        return self.ask(ClearOverride(point="pump.speed", reason="done", actor=ANA, request_id="2"))

    def run(self, seconds: int, **values: float) -> None:
        """Sample these tags once a second, each in the middle of its second."""
        for _ in range(seconds):
            self.advance(0.5)
            self.sample(**values)
            self.advance(0.5)

    def successor(self, *rules: Rule, boot_id: bytes = b"b" * 16, **changes: object) -> Scenario:
        """The next run of the daemon, with what this one saved."""
        after = Scenario(rules=rules or [HOT], points=[point(**changes)], auto=False)
        after.mono_ns, after.wall_ns, after.state.boot_id = self.mono_ns, self.wall_ns, boot_id
        after.restore(self.saves)
        return after

    def restore(self, saves: dict[str, bytes]) -> list[object]:
        from gatewayd.core.decide.lifecycle import restore

        draft = Draft(0, self.wall_ns, self.mono_ns)
        restore(self.state, self.site, draft, saves)
        return [record.body for record in draft.records]

    # --- then -------------------------------------------------------------------------------------------------------

    def value(self, name: str) -> float:
        return float(self.state.column("tag.value")[self.row[name]])

    def status(self, name: str) -> int:
        return int(self.state.column("tag.status")[self.row[name]])

    @property
    def decisions(self) -> list[Decision]:
        return [body for body in self.history if isinstance(body, Decision)]

    @property
    def writes(self) -> list[tuple[float, tuple[str, ...]]]:
        """(value, reasons) of every decision that was written."""
        return [(body.value, body.reasons) for body in self.decisions if body.write]

    @property
    def rule_states(self) -> list[str]:
        return [body.state for body in self.history if isinstance(body, RuleEvent)]

    @property
    def alarm_states(self) -> list[str]:
        return [body.state for body in self.history if isinstance(body, AlarmEvent)]

    @property
    def override_events(self) -> list[str]:
        return [body.event for body in self.history if isinstance(body, OverrideEvent)]


def same(first: object, second: object) -> bool:
    """Compare by bytes, so that NaN equals itself."""
    return msgspec.msgpack.encode(first) == msgspec.msgpack.encode(second)


NAN = math.nan
