"""numba is pinned: the emitter leans on its insides. These tests name what an upgrade has moved, before a kernel does.

To upgrade: change both pins in pyproject.toml, `make lock`, then PINNED in kernels/emit.py, and run tests/kernels. See
docs/kernels.md.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import math
import random
import struct
import tomllib
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm
import numba.core.codegen
import numba.core.compiler
import numba.core.compiler_lock
import pytest
from numba.core.registry import cpu_target

from kernels import build
from kernels.emit import PINNED, Export, emit, host_triple

ROOT = Path(__file__).resolve().parents[2]
UPGRADE = "an upgrade of numba: go through docs/kernels.md, 'To upgrade numba', and mend kernels/emit.py"


@pytest.mark.parametrize("package", PINNED)
def test_the_emitter_runs_with_the_versions_it_was_written_for(package: str) -> None:
    assert version(package) == PINNED[package], f"{package} {version(package)} is installed; {UPGRADE}"


@pytest.mark.parametrize("package", PINNED)
def test_everybody_installs_that_version(package: str) -> None:
    wanted = f"{package}=={PINNED[package]}"
    assert wanted in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"\n{wanted} " in (ROOT / "requirements" / "dev.lock").read_text(), "run `make lock`"


CODEGEN = numba.core.codegen.AOTCPUCodegen
OVERRIDDEN = {"_create_empty_module": ["self", "name"], "_init": ["self", "llvm_module"]}
CALLED = {"_customize_tm_features": ["self"], "_customize_tm_options": ["self", "options"]}
FLAGS = ("no_compile", "no_cpython_wrapper", "no_cfunc_wrapper", "error_model", "nrt", "release_gil")
COMPILE = ["typingctx", "targetctx", "func", "args", "return_type", "flags", "locals", "library"]


@pytest.mark.parametrize(("method", "parameters"), (OVERRIDDEN | CALLED).items())
def test_the_code_generator_still_has_the_methods_we_take_over(method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(CODEGEN, method)).parameters) == parameters, UPGRADE


def test_the_code_generator_still_asks_for_an_engine_only_where_we_took_it_out() -> None:
    """`_init` of numba makes a JIT engine; ours makes none, and sets all that the rest of the class reads instead."""
    source = inspect.getsource(numba.core.codegen.CPUCodegen._init)
    assigned = {word.removeprefix("self.") for line in source.splitlines() for word in line.split()[:1]}
    assert {name for name in assigned if name.startswith("_")} >= {"_engine", "_target_data", "_data_layout"}, UPGRADE


def test_the_compiler_still_takes_the_flags_and_arguments_we_set() -> None:
    parameters = list(inspect.signature(numba.core.compiler.compile_extra).parameters)
    assert parameters[: len(COMPILE)] == COMPILE, UPGRADE
    flags = numba.core.compiler.Flags()
    assert [name for name in FLAGS if not hasattr(flags, name)] == [], UPGRADE
    assert hasattr(numba.core.compiler_lock, "global_compiler_lock"), UPGRADE


def test_the_target_still_offers_what_a_context_is_made_of() -> None:
    context = cpu_target.target_context
    for name in ("refresh", "subtarget", "call_conv", "get_value_type"):
        assert hasattr(context, name), f"{name}; {UPGRADE}"
    for name in ("get_function_type", "call_function"):
        assert hasattr(context.call_conv, name), f"{name}; {UPGRADE}"
    assert {"_internal_codegen", "aot_mode"} <= set(dir(context)), UPGRADE
    for name in ("get_default_triple", "initialize_all_targets", "initialize_all_asmprinters", "Target", "Linkage"):
        assert hasattr(llvm, name), f"{name}; {UPGRADE}"


def weighed(x: float, n: int) -> float:
    """A step with variables of its own, and a loop."""
    total = 0.0
    for i in range(n):
        share = x * i
        total = total + share if share > 1.0 else total - share
    return total


def difference(x: float, n: int) -> float:
    """A step of steps, in which the variables of both have the same names."""
    total = weighed(x, n)
    share = weighed(x + 1.0, n + 1)
    return share - total


def steps(values: list, n: int) -> int:
    total = difference(values[0], n)
    for i in range(n):
        share = weighed(values[i], i)
        values[i] = total + share - difference(share, i)
    return n


def test_a_step_inlined_at_many_places_keeps_its_variables_apart_at_each(tmp_path: Path) -> None:
    """numba copies what it inlines; `kernels.inlining` spares it most of that copy."""
    obj = emit([Export("gw_steps", steps, ("*f8", "i8"))], triple=host_triple())
    build.link([obj], tmp_path / "steps.so", triple=host_triple())
    given = [0.5 * i - 3.0 for i in range(20)]
    values, plain = (ctypes.c_double * 20)(*given), list(given)
    block = ctypes.create_string_buffer(struct.pack("=Qq", ctypes.addressof(values), 20), 16)
    function = ctypes.CDLL(str(tmp_path / "steps.so"))["gw_steps"]
    function.argtypes, function.restype = (ctypes.c_void_p,), ctypes.c_int64
    assert function(ctypes.addressof(block)) == steps(plain, 20) == 20
    assert list(values) == plain


GOLDEN = "fc31edcbb7cc59be"  # of the results below; the same on every machine, under every version


def mixed(values: list, counts: list, n: int, factor: float) -> int:
    """A little of all that kernels do: branches, NaN, sums in order, products, integer shifts, a store."""
    total = 0.0
    for i in range(n):
        x = values[i]
        if x != x:
            counts[i] = -1
            continue
        y = total + x * factor
        total = y if y > -1e300 else 0.0
        counts[i] = (i * 2654435761) >> 7 & 0xFFFF
        values[i] = (total - x) / (factor if factor != 0.0 else 1.0)
    return n


def test_what_is_emitted_still_does_what_it_did(tmp_path: Path) -> None:
    """The digest is of the results, not of the code: a better compiler may change the one and never the other."""
    library = tmp_path / "mixed.so"
    obj = emit([Export("gw_mixed", mixed, ("*f8", "*i8", "i8", "f8"))], triple=host_triple())
    build.link([obj], library, triple=host_triple())
    rng = random.Random(7)
    given = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308, *(rng.gauss(0.0, 1e3) for _ in range(994))]
    values, counts = (ctypes.c_double * 1000)(*given), (ctypes.c_int64 * 1000)()
    scalars = struct.pack("=qd", 1000, 0.1)
    slots = struct.pack("=QQ", ctypes.addressof(values), ctypes.addressof(counts)) + scalars
    block = ctypes.create_string_buffer(slots, len(slots))
    function = ctypes.CDLL(str(library))["gw_mixed"]
    function.argtypes, function.restype = (ctypes.c_void_p,), ctypes.c_int64
    assert function(ctypes.addressof(block)) == 1000
    plain_values, plain_counts = list(given), [0] * 1000
    assert mixed(plain_values, plain_counts, 1000, 0.1) == 1000
    # The bits of a NaN in passing are the processor's; kernels store a canonical one.
    native = [0.0 if x != x else x for x in values]
    assert native == [0.0 if x != x else x for x in plain_values]
    assert list(counts) == plain_counts
    digest = hashlib.sha256(struct.pack("<1000d1000q", *native, *counts)).hexdigest()
    assert digest[:16] == GOLDEN, f"{digest[:16]}; {UPGRADE}"
