"""The rules of the house that no tool knows. A list of exceptions may only shrink: an entry that is not needed fails."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd.model.record import Kind
from kernels.table import KERNELS

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("gatewayd", "kernels", "verify")
TREES = (*PRODUCT, "hil", "tests", "requirements")

FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 500
LONG_FUNCTIONS = {  # kernels of the table are excepted anyway; path:function -> lines
    "kernels/opcua_skip.py:skip_variant": 141,  # inlined likewise; split up, it takes the compiler minutes
    "kernels/opcua_value.py:read_data_value": 78,  # inlined into a kernel: one pass over one value's bytes
    "kernels/record_walk.py:walk": 192,  # inlined into two: one pass over one record's bytes
}
LONG_MODULES: dict[str, int] = {}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}

# Rooms with one door, tested through it, by subject: room -> the door's tests. Files beside those need no module either.
TESTED_THROUGH_A_DOOR = {
    "gatewayd/core/contract": "tests/core/test_step.py",
    "gatewayd/core/decide": "tests/core/test_step.py",
    "gatewayd/core/detect": "tests/core/test_step.py",
}
# Other modules that have no test file of their own, and the one that tests them.
TESTED_ELSEWHERE = {
    "gatewayd/__main__.py": "tests/cli/test_main.py",
    "gatewayd/act/recovery.py": "tests/hil/test_kill.py",
    "gatewayd/app.py": "tests/hil/test_demo.py",
    "gatewayd/core/assets.py": "tests/core/detect/test_asset_words.py",
    "gatewayd/core/site.py": "tests/core/test_step.py",
    "gatewayd/core/state.py": "tests/core/test_step.py",
    "gatewayd/device/build.py": "tests/hil/test_demo.py",
    "gatewayd/device/opcua/subscriber.py": "tests/device/opcua/test_subscription.py",
    "gatewayd/facade.py": "tests/hil/test_demo.py",
    "gatewayd/journal/audit/signed.py": "tests/journal/audit/test_verify.py",
    "gatewayd/observe/pace.py": "tests/hil/test_bench.py",
    "gatewayd/store/mark.py": "tests/store/test_ahead.py",
    "kernels/abi.py": "tests/kernels/test_build.py",
    "kernels/day_clock.py": "tests/kernels/test_rules.py",
    "kernels/inlining.py": "tests/kernels/test_build.py",
    "kernels/moments.py": "tests/kernels/test_ewma.py",
    "kernels/opcodes.py": "tests/kernels/test_rules.py",
    "kernels/opcua_skip.py": "tests/kernels/test_decode_opcua_notification.py",
    "kernels/opcua_value.py": "tests/kernels/test_decode_opcua.py",
    "kernels/record_walk.py": "tests/kernels/test_scan_leaves.py",
    "kernels/sample.py": "tests/kernels/test_decode_columns.py",
    "kernels/scanning.py": "tests/kernels/test_table.py",
    "kernels/special_register.py": "tests/kernels/test_decode_modbus_registers.py",
}
DECLARATIONS = {  # nothing in them runs
    "gatewayd/core/kernels.py",
    "gatewayd/device/link.py",
    "gatewayd/errors.py",
    "gatewayd/explain/style.py",
    "gatewayd/model/account.py",
    "gatewayd/model/block.py",
    "gatewayd/model/config.py",
    "gatewayd/model/detectors.py",
    "gatewayd/model/device.py",
    "gatewayd/model/quality.py",
    "gatewayd/model/probe_view.py",
    "gatewayd/model/record.py",
    "gatewayd/model/retention_view.py",
    "gatewayd/model/table.py",
    "gatewayd/model/wanted.py",
    "gatewayd/replay/report.py",
    "gatewayd/version.py",
    "kernels/columns.py",
}
# Test files that follow no module: they hold several together, or one against something foreign.
SUITES = {
    "tests/kernels/test_wheel.py",
    "tests/core/expr/test_reference.py",
    "tests/device/modbus/test_against_libmodbus.py",
    "tests/device/modbus/test_against_pymodbus.py",
    "tests/device/modbus/test_values_against_pymodbus.py",
    "tests/device/opcua/test_against_node_opcua.py",
    "tests/device/opcua/test_subscribed_node_opcua.py",
    "tests/foreign/test_availability.py",
    "tests/kernels/test_emulated.py",
    "tests/hil/plants/test_example_site.py",
    "tests/hil/plants/test_story.py",
    "tests/hil/test_bench.py",
    "tests/journal/test_crashes.py",
    "tests/journal/test_faults.py",
    "tests/journal/test_golden.py",
    "tests/journal/test_lifecycle.py",
    "tests/observe/test_service.py",
    "tests/proof/test_rfc6962.py",
    "tests/test_tidy.py",
    "tests/verify/test_against_go.py",
    "tests/verify/test_mutations.py",
}
# Folders whose files are named after their subject: the whole product, and the rooms tested through their door.
SUBJECTS = {"tests/scenarios", "tests/core", "tests/core/contract", "tests/core/decide", "tests/core/detect"}
# Kernels whose slow, obvious counterpart is not in tests/kernels/test_<module>.py.
REFERENCE_ELSEWHERE = {
    "rules": "tests/core/expr/test_reference.py",
    "window_update": "tests/core/expr/test_reference.py",
}


# --- what there is ------------------------------------------------------------------------------------------------------


@functools.cache
def sources(*trees: str) -> tuple[Path, ...]:
    return tuple(path for tree in trees for path in sorted((ROOT / tree).rglob("*.py")))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def shipped_files() -> Iterator[Path]:
    """Every file of the project as git would see it; a walk, because an unpacked archive has no git."""
    ignored = {entry.strip("/") for entry in (ROOT / ".gitignore").read_text().split() if entry.endswith("/")}
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [f for f in folders if f != ".git" and not ignored & {f, (here / f).relative_to(ROOT).as_posix()}]
        folders[:] = [f for f in folders if not f.endswith(".egg-info")]
        yield from (here / file for file in files if not file.endswith((".pyc", ".so")))


# --- sizes and names ----------------------------------------------------------------------------------------------------


def test_no_function_is_longer_than_a_page():
    kernels = {f"kernels/{kernel.module}.py:{kernel.name}" for kernel in KERNELS}
    long = {
        f"{name_of(path)}:{function.name}": lines
        for path in sources(*TREES)
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    }
    long = {name: lines for name, lines in long.items() if name not in kernels}
    assert {name: lines for name, lines in long.items() if lines > LONG_FUNCTIONS.get(name, 0)} == {}
    assert set(LONG_FUNCTIONS) - set(long) == set(), "no longer needed: take them off the list"


def test_no_module_is_longer_than_a_reader_can_hold():
    long = {
        name_of(path): lines
        for path in sources(*TREES)
        if (lines := len(path.read_text().splitlines())) > MODULE_LINES_MAX
    }
    assert {name: lines for name, lines in long.items() if lines > LONG_MODULES.get(name, 0)} == {}
    assert set(LONG_MODULES) - set(long) == set(), "no longer needed: take them off the list"


def test_modules_are_named_in_the_fields_words():
    assert [name_of(path) for path in sources(*TREES) if VAGUE_NAMES & set(path.stem.split("_"))] == []


def test_a_package_holds_nothing_in_its_init():
    """Importing one room must not import its neighbours."""
    assert [name_of(path) for path in sources(*TREES) if path.name == "__init__.py" and path.read_text().strip()] == []


# --- tests and modules follow each other --------------------------------------------------------------------------------


def own_test(module: str) -> str:
    path = Path(module)
    folder = path.parent.relative_to("gatewayd") if path.parts[0] == "gatewayd" else path.parent
    return (Path("tests") / folder / f"test_{path.name}").as_posix()


def modules() -> set[str]:
    return {name_of(path) for path in sources(*PRODUCT) if path.name != "__init__.py"}


def test_every_module_has_a_test_file():
    without = {module for module in modules() if not (ROOT / own_test(module)).exists()}
    without = {module for module in without if Path(module).parent.as_posix() not in TESTED_THROUGH_A_DOOR}
    assert without - set(TESTED_ELSEWHERE) - DECLARATIONS == set()
    assert (set(TESTED_ELSEWHERE) | DECLARATIONS) - without == set(), "they have one by now: take them off the list"
    named = {*TESTED_ELSEWHERE.values(), *TESTED_THROUGH_A_DOOR.values()}
    assert {test for test in named if not (ROOT / test).exists()} == set()


def test_every_test_file_has_a_module():
    rigs = {name_of(path) for path in sources("hil")}
    expected = {own_test(module) for module in modules() | rigs} | SUITES
    found = {name_of(path) for path in sources("tests") if path.name.startswith("test_")}
    unnamed = {name for name in found - expected if Path(name).parent.as_posix() not in SUBJECTS}
    assert unnamed == set(), "a module was renamed or removed; or name the file in SUITES"
    assert SUITES - found == set(), "no longer needed: take them off the list"


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_every_kernel_is_compared_with_a_slow_reference_in_every_form(kernel):
    """Forms: the plain function, JIT, ahead of time, and ahead of time for aarch64."""
    test = ROOT / REFERENCE_ELSEWHERE.get(kernel.name, f"tests/kernels/test_{kernel.module}.py")
    imported = {name for node in ast.walk(parsed(test)) if isinstance(node, ast.ImportFrom) for name in names_of(node)}
    assert "reference" in imported | {function.name for function in functions(test)}
    assert imported & {"agree", "FORMS"}


def names_of(statement: ast.ImportFrom) -> set[str]:
    """What an import brings, and the last part of where from."""
    return {alias.name for alias in statement.names} | {(statement.module or "").rpartition(".")[2]}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_every_kernel_says_what_it_returns(kernel):
    function = next(f for f in functions(ROOT / f"kernels/{kernel.module}.py") if f.name == kernel.name)
    assert "Returns:" in (ast.get_docstring(function) or "")


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_every_kind_of_record_has_a_golden_file(kind):
    assert (ROOT / f"tests/golden/journal/{kind.name.lower()}.bin").stat().st_size > 0


# --- promises in the source ---------------------------------------------------------------------------------------------


def called_name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


@functools.cache
def classes() -> tuple[ast.ClassDef, ...]:
    return tuple(
        node for path in sources(*PRODUCT, "hil") for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)
    )


def errors_of_ours() -> set[str]:
    """The names of all classes under GatewayError, wherever they stand."""
    bases = {node.name: {base.id for base in node.bases if isinstance(base, ast.Name)} for node in classes()}
    ours = {"GatewayError"}
    while grown := {name for name, parents in bases.items() if parents & ours} - ours:
        ours |= grown
    return ours


def makes_its_remedy_itself(error: str) -> bool:
    """Whether an error's own __init__ needs no remedy from its caller."""
    bodies = [statement for node in classes() if node.name == error for statement in node.body]
    inits = [f for f in bodies if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
    return any("remedy" not in {arg.arg for arg in (*f.args.args, *f.args.kwonlyargs)} for f in inits)


def test_every_error_says_what_to_do():
    ours = {name for name in errors_of_ours() if not makes_its_remedy_itself(name)}
    assert len(ours) > 20
    silent = []
    for path in sources(*PRODUCT, "hil"):
        for call in ast.walk(parsed(path)):
            if isinstance(call, ast.Call) and called_name(call) in ours:
                remedies = [keyword.value for keyword in call.keywords if keyword.arg in ("remedy", None)]
                if not remedies or any(isinstance(r, ast.Constant) and not r.value for r in remedies):
                    silent.append(f"{name_of(path)}:{call.lineno}")
    assert silent == []


def test_whoever_meets_bytes_that_cannot_be_decoded_meets_text_that_is_not_utf8_too():
    """msgspec lets Python's own error through for it: `UNDECODABLE` has both."""
    half = [
        f"{name_of(path)}:{handler.lineno}"
        for path in sources(*PRODUCT, "hil")
        for handler in ast.walk(parsed(path))
        if isinstance(handler, ast.ExceptHandler) and handler.type is not None
        if re.search(r"msgspec\.(MsgspecError|DecodeError)", caught := ast.unparse(handler.type))
        if "ValueError" not in caught
    ]
    assert half == []


def test_the_store_syncs_every_commit_and_never_writes_through_the_map():
    """With sync off, or a writable map, a crash could lose or tear what was acknowledged."""
    calls = [
        call
        for path in sources("gatewayd")
        for call in ast.walk(parsed(path))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("lmdb.open", "lmdb.Environment")
    ]
    assert calls
    for call in calls:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("sync") == "True"
        assert given.get("metasync", "True") == "True"
        assert given.get("writemap", "False") == given.get("map_async", "False") == "False"
        assert None not in given, "options by ** cannot be checked here"


def test_the_running_daemon_imports_no_compiler_and_no_driver_that_no_device_needs():
    """Memory, start-up time, and W^X: the daemon calls the kernels through ctypes and loads asyncua with the first device."""
    code = "import sys, gatewayd.app; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "gatewayd" in loaded
    assert (
        loaded
        & {"numba", "llvmlite", "numpy", "asyncua", "gmqtt", "deltalake", "arro3", "pyarrow", "iotcore", "pytest"}
        == set()
    )


# --- what is shipped ----------------------------------------------------------------------------------------------------

FOREIGN_PATH = re.compile(rb"(?<![\w.~$}-])/(?:root|home|work|Users)/\w")
REGISTRY = re.compile(
    rb"pypi\.(?:org|python)|python"
    rb"hosted|registry\.npm|npmjs\.(?:org|com)|deb\.debian\.org|//[\w.-]*(?:artifactory|nexus)"
)


def test_no_file_knows_the_machine_it_was_written_on():
    """No absolute path of somebody's home, no address of a registry: where packages come from is the machine's business."""
    found = [
        f"{name_of(path)}: {match.group().decode()}"
        for path in shipped_files()
        for pattern in (FOREIGN_PATH, REGISTRY)
        if (match := pattern.search(path.read_bytes())) is not None
    ]
    assert found == []


def test_locks_hold_hashes_and_no_addresses():
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        text = lock.read_text()
        pins = re.findall(r"^[a-z0-9][^ \n]*==", text, re.MULTILINE)
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)
        assert "://" not in text
        assert "--index-url" not in text and "--find-links" not in text  # noqa: PT018
    assert '"resolved": "http' not in (ROOT / "tests/foreign/node_opcua/package-lock.json").read_text()


def test_the_architecture_page_names_every_room():
    page = (ROOT / "docs/architecture.md").read_text()
    packages = {
        path.parent.relative_to(ROOT / "gatewayd") for path in sources("gatewayd") if path.name == "__init__.py"
    }
    unnamed = {path.as_posix() for path in packages if path.parts and f"{path.name}/`" not in page}
    assert unnamed == set()
