"""What a sample costs in each kernel, at 100 to 100,000 tags: ahead of time beside JIT beside plain Python.

Every figure is of one call over all tags, divided by their number; the smallest of several passes, for whatever else the
machine does can only add. Passes of the forms take turns. Rules and backtest are measured by benches of their own, which
are asked where they are there.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from array import array
from collections.abc import Mapping, Sequence

from gatewayd.compiled import load_kernels
from gatewayd.core.kernels import FORMATS, Kernels
from hil.bench.goals import ceiling, judged
from hil.bench.kernel_load import CYCLE, KernelLoad
from hil.bench.rounds import say
from kernels.abi import FOLDER, sources_digest

SIZES = {100: "100", 1_000: "1k", 10_000: "10k", 100_000: "100k"}
PLAIN_MAX = 10_000  # tags that plain Python is asked for in a quick run
PASSES_MAX = 200
SHARES = {
    "decode": ("decode_modbus_registers",),
    "contract": ("scale", "judge"),
    "detect": ("ewma", "cusum", "verdict"),
    "cycle": ("decode_modbus_registers", "scale", "judge", "ewma", "cusum", "verdict", "window_update"),
}
BESIDE = {"rule_load": "rule_figures", "backtest_load": "backtest_figures"}
GOALS = (
    ceiling("a call costs at most 1 us", "call_overhead_us", "", 1.0),
    *(
        ceiling(
            f"{name}: 100,000 tags cost no more each than 1,000",
            f"ns_per_tag_{name}_100k",
            f"ns_per_tag_{name}_1k",
            1.5,
        )
        for name in (*SHARES, "window_update")
    ),
)
Costs = dict[str, float]  # kernel -> ns per tag


def run(*, quick: bool) -> dict[str, object]:
    forms = _forms(quick)
    figures: dict[str, float] = {}
    for tags, size in SIZES.items():
        asked = {name: form for name, form in forms.items() if not (quick and name == "python" and tags > PLAIN_MAX)}
        say(f"{tags:,} tags: {', '.join(asked)}")
        costs = measured(asked, tags, budget_s=1.0 if quick else 6.0)
        say(_table(costs))
        for form, found in costs.items():
            suffix = size if form == "aot" else f"{size}_{form}"
            figures |= {f"ns_per_tag_{name}_{suffix}": cost for name, cost in _with_shares(found).items()}
    figures["call_overhead_us"] = call_overhead_us(forms["aot"])
    figures |= _beside(quick)
    settings = {"forms": list(forms), "sizes": list(SIZES), "passes_max": PASSES_MAX, "quick": quick}
    return {"figures": figures, "settings": settings, "goals": judged(GOALS, figures)}


def _forms(quick: bool) -> dict[str, Kernels]:
    if quick and not _jit_is_kept():
        say("no JIT in this quick run: it was not compiled for these sources yet, which takes longer than the run")
        return {form: load_kernels(form) for form in ("aot", "python")}
    return {form: load_kernels(form) for form in ("aot", "jit", "python")}


def _jit_is_kept() -> bool:
    folder = FOLDER / f"jit-{sources_digest().hex()[:16]}"
    return all(any(folder.rglob(f"{name}.{name}-*.nbc")) for name in CYCLE)


def measured(forms: Mapping[str, Kernels], tags: int, *, budget_s: float) -> dict[str, Costs]:
    """Return what each kernel costs per tag in each form; every form gets two passes at least, the first to warm up."""
    loads = {name: KernelLoad(kernels, tags) for name, kernels in forms.items()}
    best: dict[str, Costs] = {name: {} for name in forms}
    spent_s = dict.fromkeys(forms, 0.0)
    for number in range(PASSES_MAX):
        for name, load in loads.items():
            if number > 1 and spent_s[name] > budget_s:
                continue
            began = time.perf_counter()
            costs = _one_pass(load)
            spent_s[name] += time.perf_counter() - began
            if number:
                best[name] = {kernel: min(cost, best[name].get(kernel, cost)) for kernel, cost in costs.items()}
    return best


def _one_pass(load: KernelLoad) -> Costs:
    load.arrive()
    costs: Costs = {}
    for name, call in load.calls().items():
        began = time.perf_counter_ns()
        call()
        costs[name] = (time.perf_counter_ns() - began) / load.tags
    return costs


def _with_shares(costs: Costs) -> Costs:
    return costs | {share: sum(costs[name] for name in names) for share, names in SHARES.items()}


def _table(costs: Mapping[str, Costs]) -> str:
    lines = [f"  {'ns per tag':<26}" + "".join(f"{form:>12}" for form in costs)]
    shown = {form: _with_shares(found) for form, found in costs.items()}
    names: Sequence[str] = (*CYCLE, *SHARES)
    lines += [f"  {name:<26}" + "".join(f"{found[name]:>12,.1f}" for found in shown.values()) for name in names]
    return "\n".join(lines)


def call_overhead_us(kernels: Kernels, *, calls: int = 2_000, rounds: int = 50) -> float:
    """Return what a call costs that has no row to work on: scalars packed, into the library and back."""
    columns = {
        f"{table}.{name}": memoryview(array(FORMATS[kind], [0]))
        for table, cells in kernels.tables.items()
        for name, kind in cells
    }
    call = kernels.bind("scale", columns)
    best_ns = min(_calls_ns(call, calls) for _ in range(rounds))
    return best_ns / calls / 1e3


def _calls_ns(call: object, calls: int) -> int:
    assert callable(call)
    began = time.perf_counter_ns()
    for _ in range(calls):
        call(0)
    return time.perf_counter_ns() - began


def _beside(quick: bool) -> dict[str, float]:
    """Return the figures of the benches of rules and backtest, of those that are there."""
    figures: dict[str, float] = {}
    for module, function in BESIDE.items():
        if importlib.util.find_spec(f"hil.bench.{module}") is None:
            say(f"no hil/bench/{module}.py here: its figures are left out")
            continue
        say(f"{module}: {function}")
        figures |= getattr(importlib.import_module(f"hil.bench.{module}"), function)(quick)
    return figures
