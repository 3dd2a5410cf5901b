"""What 10,000 rules of about eight operations cost: in the interpreter, and as Python code objects of the same meaning.

`python -m hil.bench.rule_load [--quick]` prints one JSON line.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

from gatewayd.compiled import load_kernels
from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.syntax import Binary, Node, Number, Tag, Unary
from gatewayd.core.kernels import Kernels
from gatewayd.core.site import Digests, Site, compile_site
from gatewayd.core.state import State
from gatewayd.core.swap import prepare, take_over
from gatewayd.model.config import Asset, AssetType, Contract, Gateway, GatewayFile, Rule, SiteConfig
from gatewayd.model.device import ModbusTag, ModbusTcpDevice

RULES = 10_000
TAGS = 10_000
START_NS = 1_000_000_000_000
UNKNOWN = math.nan
PythonRule = Callable[[list[tuple[float, int, int]]], float]
# Four rules of an asset type: six to eight operations, four tags each.
SHAPES = (
    "{a} > 85 and {b} < 3 or {c} - {d} > 2",
    "{a} + {b} > 100 and not {c} < 5 or {d} == 1",
    "abs({a} - {b}) > 10 and {c} * 2 >= {d} or {a} < 1",
    "min({a}, {b}) > 30 and {c} / 2 < 20 or not {d} <= {a}",
)


def rule_figures(quick: bool) -> dict[str, float]:
    """Return ns a rule takes in the interpreter and as a Python code object, and ms to replace all rules in the loop."""
    kernels = load_kernels("aot")
    texts = [_text(number) for number in range(RULES)]
    site, others = _site(texts), _site([f"not ({text})" for text in texts])
    state = _plant(site, kernels)
    columns = state.columns
    rules = kernels.bind("rules", columns)
    python = _python_rules(texts)
    rows = list(zip(columns["tag.value"], columns["tag.status"], columns["tag.stale"], strict=True))
    ours, theirs, swaps = [], [], []
    for _ in range(5 if quick else 25):  # interleaved: a busy minute of the machine hits all alike
        ours += [_timed(lambda: rules(RULES, RULES, START_NS, 0)) for _ in range(5)]
        theirs.append(_timed(lambda: _run_python(python, rows)))
        swaps.append(_swapped(state, site, others, kernels))
    _same(list(columns["program.result"]), _run_python(python, rows))
    return {
        "ns_per_rule_10k": min(ours) / RULES,
        "ns_per_rule_python_10k": min(theirs) / RULES,
        "rule_swap_ms_10k": sorted(swaps)[len(swaps) // 2] / 1e6,
    }


def _text(number: int) -> str:
    tags = {letter: f"t{(number // 4 * 4 + place * 3) % TAGS}" for place, letter in enumerate("abcd")}
    return SHAPES[number % len(SHAPES)].format(**tags)


def _site(texts: list[str]) -> Site:
    """Return a compiled site of 10,000 tags and a rule for each text, all of one asset."""
    names = [f"t{number}" for number in range(TAGS)]
    rules = tuple(Rule(id=f"r{number}", when=text) for number, text in enumerate(texts))
    tags = tuple(ModbusTag(name=name, register_type="holding", address=at) for at, name in enumerate(names))
    config = SiteConfig(
        gateway=GatewayFile(gateway=Gateway(name="bench.example/gw/rules")),
        devices={"plc": ModbusTcpDevice(name="plc", host="127.0.0.1")},
        tags={"plc": tags},
        asset_types={"load": AssetType(tags={name: Contract() for name in names}, rule=rules)},
        assets={"load_1": Asset(type="load", tags={name: f"plc/{name}" for name in names})},
        points=(),
        rules=(),
    )
    site = compile_site(config, plan_reads=lambda device, tags, first: (), digests=Digests(b"", b"", b""))
    assert len(site.programme.programs) == RULES
    return site


def _plant(site: Site, kernels: Kernels) -> State:
    """Return a state with a value for every tag; one in a hundred is bad."""
    rng = random.Random(1)
    state = State(site, kernels, now_mono_ns=1)
    for row in range(TAGS):
        state.column("tag.value")[row] = rng.uniform(0, 100)
        state.column("tag.status")[row] = 0x80000000 if rng.random() < 0.01 else 0
    state.column("due.program")[:] = memoryview(array("q", range(RULES)))
    return state


def _swapped(state: State, old: Site, new: Site, kernels: Kernels) -> float:
    """Return ns that cycles wait while another rule set, of which every rule is new, is taken over."""
    swap = prepare(state, old, new, kernels)
    return _timed(lambda: take_over(swap, now_mono_ns=START_NS))


def _timed(run: Any) -> float:
    begin = time.thread_time_ns()  # what others take of the processor does not count
    run()
    return time.thread_time_ns() - begin


# --- the same rules as Python ---------------------------------------------------------------------------------------------


def _tag(row: tuple[float, int, int]) -> float:
    return row[0] if row[1] >> 30 == 0 and row[2] == 0 else UNKNOWN


def _and(left: float, right: float) -> float:
    if left == 0.0 or right == 0.0:
        return 0.0
    return 1.0 if left == left and right == right else UNKNOWN


def _or(left: float, right: float) -> float:
    if left == 1.0 or right == 1.0:
        return 1.0
    return 0.0 if left == left and right == right else UNKNOWN


def _not(value: float) -> float:
    return 1.0 - value


def _divide(left: float, right: float) -> float:
    return left / right if right != 0.0 else UNKNOWN


def _least(left: float, right: float) -> float:
    return right if right != right or right < left else left


def _less(left: float, right: float) -> float:
    return UNKNOWN if left != left or right != right else 1.0 if left < right else 0.0


def _less_equal(left: float, right: float) -> float:
    return UNKNOWN if left != left or right != right else 1.0 if left <= right else 0.0


def _equal(left: float, right: float) -> float:
    return UNKNOWN if left != left or right != right else 1.0 if left == right else 0.0


_CALLS = {
    "and": "_and",
    "or": "_or",
    "/": "_divide",
    "min": "_least",
    "<": "_less",
    "<=": "_less_equal",
    "==": "_equal",
}


def _source(node: Node) -> str:
    match node:
        case Tag():
            return f"_tag(rows[{node.name[1:]}])"
        case Number():
            return repr(node.value)
        case Unary():
            return f"{'_not' if node.operator == 'not' else node.operator}({_source(node.operand)})"
        case Binary(operator=">" | ">="):  # NaN compares alike from both sides
            return f"{_CALLS[node.operator.replace('>', '<')]}({_source(node.right)}, {_source(node.left)})"
        case Binary():
            left, right = _source(node.left), _source(node.right)
            call = _CALLS.get(node.operator)
            return f"{call}({left}, {right})" if call else f"({left} {node.operator} {right})"
        case _:
            raise AssertionError(node)


def _python_rules(texts: list[str]) -> list[PythonRule]:
    codes = [compile(f"lambda rows: {_source(parse(text))}", "<rule>", "eval") for text in texts]
    return [eval(code) for code in codes]  # texts of this file only


def _run_python(rules: list[PythonRule], rows: list[tuple[float, int, int]]) -> list[float]:
    return [rule(rows) for rule in rules]


def _same(found: list[float], wanted: list[float]) -> None:
    assert [repr(value) for value in found] == [repr(value) for value in wanted]


if __name__ == "__main__":
    print(json.dumps(rule_figures("--quick" in sys.argv)))
