"""One record of every kind, and a journal to put them in."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from gatewayd.journal.log import CommitMode, Identity, Journal
from gatewayd.model.decision import Command, NewRecord
from gatewayd.model.record import (
    Actor,
    AlarmEvent,
    BlockSealed,
    Body,
    ClockQuality,
    ClockStep,
    ConfigLoaded,
    Decision,
    DeviceEvent,
    EvidenceRow,
    EvidenceSlice,
    Gap,
    Genesis,
    GuardResult,
    KeyRotated,
    ModeChanged,
    Outcome,
    OverrideEvent,
    Pruned,
    QualityEvent,
    Redacted,
    Retention,
    RuleEvent,
    Start,
    Stopped,
    TrustUsed,
)
from gatewayd.proof.note import SeedSigner
from gatewayd.store.env import Store
from tests.clock import ManualClock

ORIGIN = "acme.example/gw/site-7/gw-0042/e1"
QUOTA = 32 << 20
IDENTITY = Identity(ORIGIN, 1, bytes(range(16)), ClockQuality.NTP)
SIGNER = SeedSigner(ORIGIN, bytes(range(32)))
ANA = Actor(uid=1001, role="operator", method="socket")
EVIDENCE = b"evidence of decision %d"


def open_store(folder: Path, quota: int = QUOTA) -> Store:
    return Store.open(folder, quota)


def open_journal(store: Store, clock: ManualClock | None = None, commit: CommitMode = "inline") -> Journal:
    return Journal.open(store, SIGNER, clock or ManualClock(), IDENTITY, commit=commit)


def decision_body(decision_id: int, *, point: str = "pump_1.speed", cycle: int = 0, evidence: bytes = b"") -> Decision:
    return Decision(
        decision_id=decision_id,
        cycle=cycle or decision_id,
        point=point,
        proposed=30.0,
        value=40.0,
        previous=50.0,
        write=True,
        reasons=("rule", "clamp_range"),
        slot=8,
        slots_before=(None,) * 16,
        slots_after=(*(None,) * 7, 40.0, *(None,) * 8),
        guards=(GuardResult("range", "clamp", 30.0, 40.0, 40.0), GuardResult("rate", "pass", 40.0, 40.0)),
        rule="bearing-hot",
        actor=ANA,
        evidence=sha256(evidence).digest() if evidence else b"",
        site_digest=bytes(32),
    )


def decision(decision_id: int, *, point: str = "pump_1.speed", cycle: int = 0) -> NewRecord:
    evidence = EVIDENCE % decision_id
    personal = {"reason_text": f"because of {decision_id}", "actor_name": "ana"}
    return NewRecord(decision_body(decision_id, point=point, cycle=cycle, evidence=evidence), personal, evidence)


def deciding(
    decision_id: int, *, point: str = "pump_1.speed", rule: str = "", uid: int | None = None, tags: Sequence[str] = ()
) -> NewRecord:
    """A decision that differs from others in what it can be found by."""
    rows = tuple(EvidenceRow(tag, "plc-1", 1.0, 0, 1, 2, 3) for tag in tags)
    evidence = msgspec.msgpack.encode(EvidenceSlice(decision_id, "x > 1", rows, ())) if rows else b""
    actor = None if uid is None else Actor(uid, "operator", "socket")
    body = decision_body(decision_id, point=point, evidence=evidence)
    return NewRecord(msgspec.structs.replace(body, rule=rule, actor=actor), {}, evidence)


def outcome(decision_id: int) -> NewRecord:
    return NewRecord(Outcome(decision_id, "verified", 40.0, 40.0, 1_750_000_000_000_000_000, 1_750_000_000_010_000_000))


def command(decision_id: int) -> Command:
    return Command(decision_id, 0, 1, 1, 40.0, 50.0, 0.5, 2_000_000_000, 10_000_000_000)


def gap(count: int = 1) -> NewRecord:
    return NewRecord(Gap("blocks", 1, count, count, "test"))


def every_body() -> dict[str, Body]:
    """Return one body per kind, every field other than its default."""
    digest = bytes(range(32))
    genesis = Genesis(ORIGIN, 2, SIGNER.vkey, "acme.example/old/e1", "old\n1\nAAAA\n", "cloned disk")
    override = OverrideEvent(3, "set", "pump_1.speed", 25.0, 1_750_000_600_000_000_000, ANA, digest, digest)
    return {
        "genesis": genesis,
        "start": Start("0.1.0", digest, 2, False),
        "stop": Stopped("SIGTERM"),
        "config": ConfigLoaded(digest, digest, digest, ("plc-1: security none, accepted-by=ana",), ANA, digest),
        "decision": decision_body(7, evidence=b"slice"),
        "outcome": Outcome(7, "mismatch", 40.0, float("nan"), 1, 2, "read back 50.0", True),
        "override": override,
        "alarm": AlarmEvent("bearing-hot", "unack", "high", "Bearing overheating", digest),
        "rule": RuleEvent("bearing-hot", "active", "inactive", digest),
        "block": BlockSealed(digest, 10, 70, 1234, 5678, digest, digest[::-1], 4321, 99),
        "gap": Gap("blocks", 1, 2, 2, "queue full"),
        "device": DeviceEvent("plc-1", "lost", 0x808A0000, "connection reset"),
        "redacted": Redacted(3, 9, 2, 4, ANA, digest, digest),
        "clock_step": ClockStep(1, 2, "ntp"),
        "mode": ModeChanged("monitor", "journal full"),
        "quality": QualityEvent("pump_1.bearing_temp", 0x80050000, 0),
        "key_rotated": KeyRotated(SIGNER.vkey, SeedSigner(ORIGIN, bytes(32)).vkey, ANA),
        "pruned": Pruned(256, 512, 1_750_000_000_000_000_000, 7, "mirror.example+1234abcd+BAAA", 700, ANA),
        "trust": TrustUsed("scada-1", "trust list", digest, digest[::-1], digest),
        "retention": Retention(7, 70, "retained", ANA, digest, digest),
    }
