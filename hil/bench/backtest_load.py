"""How fast recorded samples run through rules and detectors: 1,000 tags, each with a range and an EWMA, 100 rules.

backtest_samples_per_s: columns in memory through the engine, kernels, rules and tally; backtest_packed_samples_per_s: a
packed file, decompression included; backtest_csv_samples_per_s: CSV text into a packed file. CPU seconds, best of the runs,
since a backtest runs on one core.
"""

from __future__ import annotations

import io
import random
import time
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory

from gatewayd.backtest.columns import ColumnsFile, ColumnsWriter
from gatewayd.backtest.engine import Backtest, site_over
from gatewayd.backtest.recording import pack_tables
from gatewayd.backtest.tally import Tally
from gatewayd.compiled import load_kernels
from gatewayd.core.site import Digests, Site, compile_site
from gatewayd.model.config import Asset, AssetType, Contract, Ewma, Gateway, GatewayFile, Rule, SiteConfig
from gatewayd.model.device import ModbusTag, ModbusTcpDevice

TAGS = 1000
RULES = 100
FIRST_NS = 1_714_564_800_000_000_000
NS = 1_000_000_000


def backtest_figures(quick: bool) -> dict[str, float]:
    """Return samples per second, and what they were measured with."""
    rows, repeats = (500, 3) if quick else (2000, 7)
    site, file = load_site(), io.BytesIO()
    packed = pack_noise(file, site, rows)
    chunks = list(packed.chunks())
    samples = rows * TAGS
    in_memory = min(seconds(site, packed, lambda: chunks) for _ in range(repeats))
    from_file = min(seconds(site, packed, packed.chunks) for _ in range(repeats))
    csv_rows = rows // 5
    return {
        "backtest_samples_per_s": samples / in_memory,
        "backtest_packed_samples_per_s": samples / from_file,
        "backtest_csv_samples_per_s": csv_rows * TAGS / csv_seconds(site, csv_rows),
        "backtest_packed_bytes_per_sample": len(file.getvalue()) / samples,
        "backtest_tags": TAGS,
        "backtest_rules": RULES,
        "backtest_rows": rows,
    }


def load_site() -> Site:
    names = [f"v{number}" for number in range(TAGS)]
    rules = tuple(
        Rule(
            id=f"r{number}",
            when=f"v{10 * number} > 78 and v{10 * number + 1} < 80 for 1s",
            clear=f"v{10 * number} < 60",
        )
        for number in range(RULES)
    )
    contracts = {name: Contract(low=-1e6, high=1e6, ewma=Ewma()) for name in names}
    tags = tuple(ModbusTag(name=name, register_type="holding", address=2 * at) for at, name in enumerate(names))
    config = SiteConfig(
        gateway=GatewayFile(gateway=Gateway(name="bench.example/gw/backtest")),
        devices={"plc": ModbusTcpDevice(name="plc", host="127.0.0.1")},
        tags={"plc": tags},
        asset_types={"load": AssetType(tags=contracts, rule=rules)},
        assets={"load_1": Asset(type="load", tags={name: f"plc/{name}" for name in names})},
        points=(),
        rules=(),
    )
    return compile_site(config, plan_reads=lambda device, tags, first: (), digests=Digests(b"", b"", b""))


def pack_noise(file: io.BytesIO, site: Site, rows: int) -> ColumnsFile:
    """Pack a second's noise around 70 per row: rules change now and then, detectors warm up and stay quiet."""
    draw = random.Random(7)
    values = array("d", (draw.gauss(70.0, 6.0) for _ in range(97 * TAGS)))
    writer = ColumnsWriter([tag.name for tag in site.tags], file)
    columns = tuple(range(TAGS))
    for row in range(rows):
        time_ns = FIRST_NS + row * NS
        at = row % 97 * TAGS
        cells, times = array("d", bytes(24 * TAGS)), array("d")
        times.frombytes(time_ns.to_bytes(8, "little") * TAGS)
        cells[0::3], cells[2::3] = values[at : at + TAGS], times
        writer.add(time_ns, columns, cells.tobytes())
    writer.finish()
    return ColumnsFile(file, "noise")


def seconds(site: Site, packed: ColumnsFile, chunks) -> float:
    over = site_over(site, range(TAGS), packed.contents.shapes)
    test = Backtest(over, load_kernels("aot"), Tally(over), first_ns=FIRST_NS)
    started = time.process_time()
    for chunk in chunks():
        test.feed(chunk)
    test.finish(packed.contents.last_ns)
    spent = time.process_time() - started
    assert test.samples == packed.contents.samples
    assert any(rule.activations for rule in test.tally.rules.values())
    return spent


def csv_seconds(site: Site, rows: int) -> float:
    draw = random.Random(7)
    lines = [",".join(f"{draw.gauss(70.0, 6.0):.3f}" for _ in range(TAGS)) for _ in range(17)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "noise.csv"
        head = ",".join(tag.name for tag in site.tags)
        body = "\n".join(f"{FIRST_NS + row * NS},{lines[row % 17]}" for row in range(rows))
        path.write_text(f"time,{head}\n{body}\n")
        started = time.process_time()
        pack_tables(path, site, io.BytesIO(), skips=False)
        return time.process_time() - started
