import ctypes
import hashlib
import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import build
from kernels.abi import table_digest
from kernels.emit import Export, emit, host_triple
from tests.kernels.harness import native_library


def raises_on_negative(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n + 1


def uses_libm(x: float) -> int:
    return 1 if math.exp(x) > 1.0 else 0


def average(values: list, weights: list, count: int, factor: float) -> int:
    total = 0.0
    for i in range(count):
        total += values[i] * weights[i]
    return 1 if total * factor > 1.0 else 0


def test_the_library_refers_to_no_other() -> None:
    assert build.undefined_symbols(native_library()) == []
    dynamic = subprocess.run(["nm", "-D", "-u", native_library()], capture_output=True, text=True, check=True)
    assert dynamic.stdout == ""


def test_the_library_shows_nothing_but_its_own_names() -> None:
    shown = subprocess.run(["nm", "-D", "--defined-only", native_library()], capture_output=True, text=True, check=True)
    names = [line.split()[-1] for line in shown.stdout.splitlines()]
    assert {"gw_abi", "gw_table_digest", "gw_scale"} <= set(names)
    assert all(name.startswith("gw_") for name in names)


def test_the_description_beside_it_names_what_it_was_made_of() -> None:
    library = native_library()
    described = json.loads(library.with_suffix(".json").read_text())
    assert described["digest"] == hashlib.sha256(library.read_bytes()).hexdigest()
    assert described["table"] == table_digest().hex()
    assert described["triple"].startswith(platform.machine())
    assert (described["cpu"], "numba" in described) == ("generic", True)


def test_an_exception_in_compiled_code_is_reported_not_lost(tmp_path: Path) -> None:
    obj = emit([Export("gw_raises", raises_on_negative, ("i8",))], triple=host_triple())
    build.link([obj], tmp_path / "raises.so", triple=host_triple())
    function = ctypes.CDLL(str(tmp_path / "raises.so"))["gw_raises"]
    function.argtypes, function.restype = (ctypes.c_void_p,), ctypes.c_int64
    slot = ctypes.c_int64(41)
    assert function(ctypes.addressof(slot)) == 42
    slot.value = -1
    assert function(ctypes.addressof(slot)) == -(2**63)


def test_a_kernel_that_calls_libm_stops_the_build_by_name(tmp_path: Path) -> None:
    obj = emit([Export("gw_libm", uses_libm, ("f8",))], triple=host_triple())
    with pytest.raises(build.BuildError, match=r"not theirs: exp\b"):
        build.link([obj], tmp_path / "libm.so", triple=host_triple())
    assert list(tmp_path.iterdir()) == []


def test_other_processors_can_be_compiled_for_and_fuse_nothing() -> None:
    export = Export("gw_average", average, ("*f8", "*f8", "i8", "f8"))
    obj = emit([export], triple="aarch64-unknown-linux-gnu", cpu="cortex-a53")
    assert (obj[:4], int.from_bytes(obj[18:20], "little")) == (b"\x7fELF", 183)  # EM_AARCH64
    fused = {0x1F000000 | negate << 21 | is_double << 22 for negate in (0, 1) for is_double in (0, 1)}
    words = {int.from_bytes(obj[i : i + 4], "little") & 0xFF600000 for i in range(0, len(obj) - 3, 4)}
    assert not words & fused  # fmadd, fnmadd: another rounding, so other bits


def test_a_kernel_without_a_module_is_named_and_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = next(kernel for kernel in build.KERNELS if kernel.name == "scale")
    absent = scale._replace(name="median", module="median")
    monkeypatch.setattr(build, "KERNELS", (scale, absent))
    out = tmp_path / "gw.so"
    assert build.main(["--out", str(out)]) == 1
    assert "median" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert build.main(["--out", str(out), "--allow-missing"]) == 0
    shown = capsys.readouterr()
    assert "gw_scale" in shown.out
    assert "median" in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gw.json", "gw.so"]


def test_the_linker_is_cc_then_the_cross_gcc_and_its_absence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("NM", raising=False)
    assert build.compiler_for(host_triple()) == ["cc"]
    assert build.compiler_for("riscv64-unknown-linux-gnu") == ["riscv64-linux-gnu-gcc"]
    with pytest.raises(build.BuildError, match="riscv64-linux-gnu-nm is not installed"):
        build.link([b""], tmp_path / "k.so", triple="riscv64-unknown-linux-gnu")
    monkeypatch.setenv("CC", "ccache gcc -O0")
    assert build.compiler_for(host_triple()) == ["ccache", "gcc", "-O0"]


def test_a_machine_without_its_linker_is_left_out_and_the_cure_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build.shutil, "which", lambda program: "/usr/bin/cc" if program == "cc" else None)
    built: list[tuple[str, str, str]] = []
    monkeypatch.setattr(build, "build", lambda out, *, triple, cpu, **_: built.append((out.name, triple, cpu)) or [])
    assert build.main(["--all"]) == 1
    assert built == [("gwkernels-x86_64.so", "x86_64-unknown-linux-gnu", "")]
    assert "left out aarch64, no aarch64-linux-gnu-gcc: sudo apt-get install gcc-aarch64" in capsys.readouterr().err
    assert build.main(["--target", "aarch64"]) == 1
    assert "sudo apt-get install gcc-aarch64-linux-gnu" in capsys.readouterr().err
    assert build.main(["--all", "--out", "one.so"]) == 1
    assert "--out and --cpu are for one library" in capsys.readouterr().err
    monkeypatch.setattr(build.shutil, "which", lambda program: f"/usr/bin/{program}")
    assert build.main(["--all"]) == 0
    assert built[-1] == ("gwkernels-aarch64.so", "aarch64-unknown-linux-gnu", "cortex-a53")


def test_help_shows_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kernels.build", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "cortex-a53" in done.stdout
    assert "examples:" in done.stdout
