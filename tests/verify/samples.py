"""A journal, its export, and the second verifier as a module."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from gatewayd.journal.care.rotation import rotate
from gatewayd.journal.export.export import Exported, Request, auditor_files, export_store
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import AlarmEvent, EvidenceRow, EvidenceSlice, EvidenceTerm
from gatewayd.proof.note import SeedSigner
from gatewayd.store.env import Store
from tests.clock import ManualClock
from tests.journal.samples import ANA, decision, decision_body, gap, open_journal, open_store, outcome

DECISIONS = 12


def verifier() -> ModuleType:
    """Load what is shipped in an export, as the auditor does: by its path, not as part of the package."""
    path = auditor_files()[-1]
    spec = importlib.util.spec_from_file_location("verify_export", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)
    spec.loader.exec_module(module)
    return module


def slice_bytes(cycle: int) -> bytes:
    import msgspec

    rows = (
        EvidenceRow("pump_1.bearing_temp", "plc_1", 91.5, 0, 1_750_000_000_000_000_001, 2, 3, "degC"),
        EvidenceRow("pump_1.speed", "plc_1", float("nan"), 0x80050000, 1, 2, 3),
    )
    terms = (EvidenceTerm("rate(bearing_temp, 60s)", 0.72),)
    return msgspec.msgpack.encode(EvidenceSlice(cycle, "bearing_temp > 85", rows, terms))


def decision_with_slice(decision_id: int) -> NewRecord:
    evidence = slice_bytes(decision_id)
    return NewRecord(decision_body(decision_id, evidence=evidence), {"actor_name": "ana"}, evidence)


async def written(folder: Path, *, records: int = 270, keys: Sequence[SeedSigner] = ()) -> Store:
    """A store of `records` records: genesis, an alarm, 12 decisions, the outcomes of six of them, gaps; one full tile.

    Then it is handed over to each of `keys`, with a record after each.
    """
    from hashlib import sha256

    store = open_store(folder)
    journal = open_journal(store, ManualClock())
    alarm = AlarmEvent("bearing-hot", "unack", "high", "Bearing overheating", sha256(b"alarm slice").digest())
    await journal.commit([NewRecord(alarm, {}, b"alarm slice")])
    await journal.commit([decision(n) for n in range(1, DECISIONS)] + [decision_with_slice(DECISIONS)])
    await journal.commit([outcome(n) for n in range(1, 7)])
    await journal.commit([gap(n) for n in range(1, records - journal.size + 1)])
    for number, key in enumerate(keys):
        await rotate(journal, key, ANA)
        await journal.commit([gap(number + 1)])
    journal.close()
    store.settle()
    assert journal.size == records + 2 * len(keys)
    return store


def exported(store: Store, folder: Path, **wanted: object) -> Exported:
    return export_store(store, Request(folder=folder, **wanted))  # type: ignore[arg-type]
