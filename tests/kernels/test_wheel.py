"""What a gateway gets: both libraries, whole, made of one set of sources, and nothing in them that a processor decides."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kernels.abi import library_path, sources_digest, table_digest
from kernels.build import TARGETS, undefined_symbols
from kernels.table import KERNELS
from tests.foreign.aarch64.build import build_emulated
from tests.foreign.availability import ForeignServerMissing, require
from tests.kernels.harness import native_library

ROOT = Path(__file__).resolve().parents[2]
PREFIX = {"x86_64": "", "aarch64": "aarch64-linux-gnu-"}  # of Debian's cross binutils, beside those of an x86-64 host
SOURCES = ("gatewayd", "kernels", "verify", "pyproject.toml", "README.md", ".gitignore")
# Debian's names of what multiplies and adds with one rounding; x86-64 has vfmadd132sd and many like it.
FUSED = {
    "aarch64": re.compile(r"\b(?:fn?madd|fn?msub|fmla|fmls)\b"),
    "x86_64": re.compile(r"\bvfn?m(?:add|sub)\w*"),
}


def library(machine: str) -> Path:
    """The library of these sources for a machine, as `make wheel` would build it."""
    return native_library() if machine == "x86_64" else require(build_emulated).library


def output(tool: str, machine: str, *arguments: str) -> str:
    program = PREFIX[machine] + tool

    def provide() -> str:
        if shutil.which(program) is None:
            package = "binutils-aarch64-linux-gnu" if PREFIX[machine] else "binutils"
            raise ForeignServerMissing(f"no {program} to look into the library with; sudo apt-get install {package}")
        return program

    command = [require(provide), *arguments, str(library(machine))]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made as by `make wheel`, of a copy of the sources with the libraries built for them."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "lib"))
        else:
            shutil.copy(source, folder / name)
    for machine in TARGETS:
        target = folder / "kernels" / "lib" / library_path(machine).name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(library(machine), target)
        shutil.copy(library(machine).with_suffix(".json"), target.with_suffix(".json"))
    (folder / "kernels" / "lib" / "jit-0000").mkdir()
    (folder / "kernels" / "lib" / "jit-0000" / "scale.nbc").write_text("of the developer's machine")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "dist", "."]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "dist").glob("*.whl")
    return made


def test_the_wheel_holds_a_library_and_its_description_for_every_machine_and_nothing_else_compiled(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith("kernels/lib/")}
    assert shipped == {
        f"kernels/lib/gwkernels-{machine}.{kind}" for machine in ("x86_64", "aarch64") for kind in ("so", "json")
    }


def test_the_libraries_in_the_wheel_were_made_of_the_sources_beside_them(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for machine in TARGETS:
            image = archive.read(f"kernels/lib/gwkernels-{machine}.so")
            described = json.loads(archive.read(f"kernels/lib/gwkernels-{machine}.json"))
            assert described["digest"] == hashlib.sha256(image).hexdigest()
            assert described["sources"] == sources_digest().hex()
            assert described["table"] == table_digest().hex()
            assert described["triple"].startswith(f"{machine}-")
            assert described["kernels"] == [f"gw_{kernel.name}" for kernel in KERNELS]
            elf_machine = {"x86_64": 62, "aarch64": 183}[machine]
            assert (image[:4], int.from_bytes(image[18:20], "little")) == (b"\x7fELF", elf_machine)


@functools.cache
def program_headers(machine: str) -> str:
    return output("readelf", machine, "--wide", "--segments", "--dynamic")


@pytest.mark.parametrize("machine", TARGETS)
def test_a_library_needs_no_other(machine: str) -> None:
    assert "NEEDED" not in program_headers(machine)
    assert undefined_symbols(library(machine)) == []  # nm reads the table of any machine
    assert output("nm", machine, "-D", "-u") == ""


@pytest.mark.parametrize("machine", TARGETS)
def test_no_page_of_a_library_is_ever_writable_and_executable(machine: str) -> None:
    """Not by its segments, not while it is relocated, and it does not ask for a stack that may be executed."""
    headers = program_headers(machine)
    assert "TEXTREL" not in headers
    segments = re.findall(r"^\s+(LOAD|GNU_STACK)\s+(?:0x\w+\s+){5}([R ][W ][E ])", headers, re.MULTILINE)
    assert {kind for kind, _ in segments} == {"LOAD", "GNU_STACK"}
    assert [flags for kind, flags in segments if "W" in flags and "E" in flags] == []
    assert [flags for kind, flags in segments if kind == "GNU_STACK"] == ["RW "]


@pytest.mark.parametrize("machine", TARGETS)
def test_no_instruction_multiplies_and_adds_with_one_rounding(machine: str) -> None:
    """A fused product has more bits than two operations: the same plant would be judged differently by another processor."""
    code = output("objdump", machine, "--disassemble", "--no-show-raw-insn")
    assert len(code.splitlines()) > 5000
    assert FUSED[machine].findall(code) == []
