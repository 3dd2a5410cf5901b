"""`python -m kernels.build`: every kernel of the table, compiled ahead of time into one native library."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numba

from kernels.abi import ABI, ABI_SYMBOL, PREFIX, TABLE_SYMBOL, library_path, sources_digest, table_digest
from kernels.emit import Export, arguments_of, emit, host_triple
from kernels.table import KERNELS, Kernel

_EXAMPLES = """\
examples:
  python -m kernels.build                        for this machine, into kernels/lib/
  python -m kernels.build --all                  for every machine a wheel is for; needs gcc-aarch64-linux-gnu on x86-64
  python -m kernels.build --target aarch64       for that one
  python -m kernels.build --triple aarch64-unknown-linux-gnu --cpu cortex-a72
                                                 for one board, or CC=... set
  CC=clang python -m kernels.build --out /tmp/k.so

The library holds no reference to any other library: not libc, not libm. The build fails, with the names, if one appears.
"""
# The machines a wheel is for, and the oldest processor of each that its library runs on.
TARGETS = {
    "x86_64": ("x86_64-unknown-linux-gnu", ""),
    "aarch64": ("aarch64-unknown-linux-gnu", "cortex-a53"),
}
_PACKAGES = {"x86_64": "gcc-x86-64-linux-gnu", "aarch64": "gcc-aarch64-linux-gnu"}
_VERSION_SCRIPT = "{ global: " + PREFIX + "*; local: *; };\n"


class BuildError(Exception):
    """The library cannot be built; the message says what to do."""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def find_exports(kernels: Iterable[Kernel]) -> tuple[list[Export], list[str]]:
    """Import the kernels of a table; return what can be emitted, and the names that have no module."""
    exports, missing = [], []
    for kernel in kernels:
        try:
            module = importlib.import_module(f"kernels.{kernel.module}")
        except ModuleNotFoundError as error:
            if error.name != f"kernels.{kernel.module}":
                raise
            missing.append(kernel.name)
            continue
        exports.append(Export(PREFIX + kernel.name, getattr(module, kernel.name), arguments_of(kernel)))
    return exports, missing


def compiler_for(triple: str) -> list[str]:
    """Return the C compiler driver that links for a triple: $CC, else `cc`, else the cross gcc of Debian."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    machine = triple.partition("-")[0]
    return ["cc"] if machine == platform.machine() else [f"{machine}-linux-gnu-gcc"]


def missing_linker(machine: str) -> str:
    """Return what to install to link for a machine, nothing if its linker is here."""
    program = compiler_for(TARGETS[machine][0])[0]
    if shutil.which(program) is not None:
        return ""
    if machine == platform.machine():
        return f"no {program}: sudo apt-get install gcc"
    return f"no {program}: sudo apt-get install {_PACKAGES[machine]}"


def _nm_for(compiler: Sequence[str]) -> str:
    name = Path(compiler[-1] if len(compiler) == 1 else compiler[0]).name
    prefix = name.removesuffix("gcc")
    return os.environ.get("NM") or (f"{prefix}nm" if name.endswith("-gcc") else "nm")


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed; install it, or set CC (and NM) to the one to use") from error
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def undefined_symbols(binary: Path, *, nm: str = "nm") -> list[str]:
    """Return the symbols a binary expects from others; a kernel library expects none."""
    return [line.split()[-1] for line in _run([nm, "-u", str(binary)]).splitlines() if line.strip()]


def link(objects: Sequence[bytes], out: Path, *, triple: str) -> None:
    """Link objects into a stripped shared library with only `gw_*` visible, put in place atomically.

    Raises:
        BuildError: no linker, or an object needs a symbol from elsewhere (named).
    """
    compiler = compiler_for(triple)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".build-") as folder:
        work = Path(folder)
        (work / "version").write_text(_VERSION_SCRIPT)
        paths = [work / f"{number}.o" for number in range(len(objects))]
        for path, content in zip(paths, objects, strict=True):
            path.write_bytes(content)
        undefined = sorted({symbol for path in paths for symbol in undefined_symbols(path, nm=_nm_for(compiler))})
        if undefined:
            raise BuildError(
                f"the kernels call code that is not theirs: {', '.join(undefined)}; "
                "kernels may not use libm, allocate or copy memory in bulk"
            )
        options = ["-shared", "-nostdlib", f"-Wl,--version-script={work / 'version'}", "-Wl,--build-id=none", "-Wl,-s"]
        _run([*compiler, *options, "-o", str(work / "kernels.so"), *map(str, paths)])
        _put(work / "kernels.so", out)


def _put(made: Path, out: Path) -> None:
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(out)


def _describe(library: Path, *, triple: str, cpu: str, kernels: Sequence[str]) -> str:
    described = {
        "digest": hashlib.sha256(library.read_bytes()).hexdigest(),
        "numba": numba.__version__,
        "abi": ABI,
        "table": table_digest().hex(),
        "sources": sources_digest().hex(),
        "triple": triple,
        "cpu": cpu or "generic",
        "kernels": list(kernels),
    }
    return json.dumps(described, indent=2) + "\n"


def build(
    out: Path,
    *,
    triple: str = "",
    cpu: str = "",
    allow_missing: bool = False,
    say: Callable[[str], None] = _say,
) -> list[str]:
    """Build the library and the `.json` beside it; return the kernels left out because they have no module.

    The description is put in place first: were the build cut between the two, the loader would see that they differ and
    `make` that the library is old.

    Raises:
        BuildError: a kernel of the table has no module (unless allowed), or linking failed. Nothing is put in place.
    """
    triple = triple or host_triple()
    exports, missing = find_exports(KERNELS)
    if missing and not allow_missing:
        raise BuildError(f"no kernels/<module>.py for: {', '.join(missing)}; write them, or pass --allow-missing")
    objects = _emit_all(exports, triple, cpu, say)
    with tempfile.TemporaryDirectory(dir=_made(out.parent), prefix=".build-") as folder:
        library = Path(folder) / "library.so"
        link(objects, library, triple=triple)
        described = Path(folder) / "library.json"
        described.write_text(_describe(library, triple=triple, cpu=cpu, kernels=[e.symbol for e in exports]))
        _put(described, out.with_suffix(".json"))
        _put(library, out)
    say(f"built {out} ({out.stat().st_size} bytes, {len(exports)} kernels, {triple} {cpu or 'generic'})")
    return missing


def _emit_all(exports: Sequence[Export], triple: str, cpu: str, say: Callable[[str], None]) -> list[bytes]:
    """Emit an object per kernel, on every processor there is; the order is that of the table whoever is done first."""
    constants: dict[str, int | bytes] = {ABI_SYMBOL: ABI, TABLE_SYMBOL: table_digest()}
    objects = [emit([], triple=triple, cpu=cpu, constants=constants)]
    # Not forked: this process has numba's threads and locks.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for export, made in zip(exports, pool.map(_emit_one, exports, repeat(triple), repeat(cpu)), strict=True):
            say(f"  {export.symbol}")
            objects.append(made)
    return objects


def _emit_one(export: Export, triple: str, cpu: str) -> bytes:
    return emit([export], triple=triple, cpu=cpu)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when the library is in place."""
    parser = argparse.ArgumentParser(
        prog="python -m kernels.build",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--target", choices=sorted(TARGETS), help="a machine that wheels are for (default: this one)")
    which.add_argument("--all", action="store_true", help="every machine that wheels are for and a linker is here for")
    which.add_argument("--triple", default="", help="any LLVM target triple")
    parser.add_argument("--cpu", default="", help="LLVM processor name (default: the architecture's baseline)")
    parser.add_argument("--out", type=Path, help="the library (default: kernels/lib/gwkernels-<machine>.so)")
    parser.add_argument("--allow-missing", action="store_true", help="leave out kernels that have no module yet")
    options = parser.parse_args(argv)
    try:
        return _build_all(options) if options.all else _build_one(options)
    except BuildError as error:
        sys.stderr.write(f"kernels.build: {error}\n")
        return 1


def _build_one(options: argparse.Namespace) -> int:
    machine = options.target or options.triple.partition("-")[0]
    triple, cpu = TARGETS[options.target] if options.target else (options.triple, "")
    if options.target and (lacking := missing_linker(machine)):
        raise BuildError(f"cannot link for {machine}, {lacking}")
    out = options.out or library_path(machine)
    missing = build(out, triple=triple, cpu=options.cpu or cpu, allow_missing=options.allow_missing)
    if missing:
        sys.stderr.write(f"kernels.build: left out, no module: {', '.join(missing)}\n")
    return 0


def _build_all(options: argparse.Namespace) -> int:
    """Build for every machine; 1 if one had to be left out, and what to install for it."""
    if options.out or options.cpu:
        raise BuildError("--out and --cpu are for one library; leave them out, or name one with --target")
    left_out = {machine: lacking for machine in TARGETS if (lacking := missing_linker(machine))}
    for machine, (triple, cpu) in TARGETS.items():
        if machine not in left_out:
            build(library_path(machine), triple=triple, cpu=cpu, allow_missing=options.allow_missing)
    for machine, lacking in left_out.items():
        sys.stderr.write(f"kernels.build: left out {machine}, {lacking}\n")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
