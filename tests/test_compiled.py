import ctypes
import hashlib
import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from gatewayd import compiled
from gatewayd.compiled import FORMS, _jit, load_kernels
from gatewayd.errors import KernelError, KernelRefused
from kernels import build
from kernels.abi import ABI, ABI_SYMBOL, FOLDER, PREFIX, TABLE_SYMBOL, sources_digest, table_digest
from kernels.emit import Export, emit, host_triple
from kernels.table import ERROR_BOUNDS, ERROR_FORMAT, ERRORS, KERNELS, TABLES, Kernel
from tests.kernels.harness import kernels, native_library

ROOT = Path(__file__).parent.parent


def columns(tags: int = 4) -> dict[str, memoryview]:
    """Zeroed tables as the core allocates them: one writable buffer per column."""
    codes = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u1": "B"}
    return {
        f"{table}.{name}": memoryview(array(codes[kind], [0] * tags))
        for table, cells in TABLES.items()
        for name, kind in cells
    }


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_bound_kernel_works_on_the_callers_own_buffers(form: str) -> None:
    held = columns()
    scale = kernels(form).bind("scale", held)
    held["fresh.row"][0], held["tag.value"][2], held["tag.scale"][2], held["fresh.row"][0] = 2, 8.0, 0.25, 2
    assert (scale(1), held["tag.value"][2]) == (1, 2.0)
    assert (scale(1), held["tag.value"][2]) == (1, 0.5)


def test_an_error_of_a_kernel_is_raised_by_the_kernels_name(form: str) -> None:
    """Row 5 of a fresh list of 4: no plant can cause this, so nobody may go on with the count it is not."""
    with pytest.raises(KernelRefused, match=r"kernel scale returned -1: outside its buffer") as caught:
        kernels(form).bind("scale", columns())(5)
    assert (caught.value.result, caught.value.exit_code) == (ERROR_BOUNDS, 3)
    assert "GATEWAYD_KERNELS=python" in caught.value.remedy


def test_an_error_about_bytes_from_outside_is_the_callers_to_judge(form: str) -> None:
    out_of_the_inbox = {"at": 0, "size": 5, "count": 1}
    decode = kernels(form).bind("decode_columns", columns())
    scalars = next(kernel for kernel in KERNELS if kernel.name == "decode_columns").scalars
    assert decode(*[out_of_the_inbox.get(name, 0) for name, _ in scalars]) == ERROR_BOUNDS


@pytest.mark.parametrize("planted", [*ERRORS, -77])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_no_error_code_of_any_kernel_is_lost(kernel: Kernel, planted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error either ends the cycle by the kernel's name, or comes back from a kernel that reads bytes from outside."""
    monkeypatch.setattr(compiled, "_function", lambda kernel: lambda *arguments: planted)
    bound = kernels("python").bind(kernel.name, columns())
    reads_bytes = kernel.name.startswith(("decode_", "screen_", "scan_"))
    if reads_bytes and planted in (ERROR_BOUNDS, ERROR_FORMAT):
        assert bound() == planted
        return
    with pytest.raises(KernelRefused, match=f"^kernel {kernel.name} returned {planted}: ") as caught:
        bound()
    assert caught.value.result == planted


def test_an_exception_in_compiled_code_is_raised_whatever_the_kernel(tmp_path: Path) -> None:
    """The native form has no exceptions: the status that stands for one is never handed to a caller."""
    library = tmp_path / "raises.so"
    exports = [Export(PREFIX + name, raises_on_zero, ("*u1",)) for name in ("scale", "decode_columns")]
    constants: dict[str, int | bytes] = {ABI_SYMBOL: ABI, TABLE_SYMBOL: table_digest()}
    build.link([emit(exports, triple=host_triple(), constants=constants)], library, triple=host_triple())
    loaded = load_kernels("aot", library=library)
    for name in ("scale", "decode_columns"):
        kernel = next(kernel for kernel in KERNELS if kernel.name == name)
        with pytest.raises(KernelRefused, match=f"kernel {name} returned .*exception in compiled code"):
            loaded.bind(name, columns())(*[0] * len(kernel.scalars))


def raises_on_zero(cells: list) -> int:
    if cells[0] == 0:
        raise ValueError("planted")
    return 1


def test_tables_of_no_rows_can_be_bound(form: str) -> None:
    empty = columns(0)
    assert kernels(form).bind("scale", empty)(0) == 0
    assert kernels(form).bind("ewma", empty)(0) == 0


def test_a_missing_column_is_named(form: str) -> None:
    held = columns()
    del held["tag.offset"]
    with pytest.raises(KernelError, match=r"tag\.offset is missing") as caught:
        kernels(form).bind("scale", held)
    assert caught.value.remedy


def test_a_column_of_another_type_shape_or_right_is_refused(form: str) -> None:
    wrong = {
        "is of 'q'": memoryview(array("q", [0] * 4)),
        "is not one contiguous run": memoryview(array("d", [0.0] * 8))[::2],
        "is read-only": memoryview(array("d", [0.0] * 4)).toreadonly(),
        "has 3 rows, its table 4": memoryview(array("d", [0.0] * 3)),
    }
    for reason, buffer in wrong.items():
        with pytest.raises(KernelError, match=reason):
            kernels(form).bind("scale", columns() | {"tag.offset": buffer})


def test_a_column_off_its_alignment_is_refused() -> None:
    loose = memoryview(bytearray(8 * 5))[4:36].cast("d")
    with pytest.raises(KernelError, match="is not aligned"):
        kernels("aot").bind("scale", columns() | {"tag.offset": loose})


def test_a_bound_buffer_cannot_be_resized_under_compiled_code() -> None:
    growing = array("d", [0.0] * 4)
    held = columns() | {"tag.offset": memoryview(growing)}
    scale = kernels("aot").bind("scale", held)
    held["tag.offset"].release()
    with pytest.raises(BufferError):
        growing.append(1.0)
    assert scale(0) == 0


def test_an_unknown_kernel_is_refused(form: str) -> None:
    with pytest.raises(KernelError, match="no 'median'"):
        kernels(form).bind("median", columns())


def test_the_form_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAYD_KERNELS", "python")
    assert load_kernels().form == "python"
    monkeypatch.setenv("GATEWAYD_KERNELS", "fortran")
    with pytest.raises(KernelError, match="'fortran'") as caught:
        load_kernels()
    assert "aot, jit, python" in caught.value.remedy


def test_the_digest_is_that_of_the_code_that_runs() -> None:
    assert kernels("aot").digest == hashlib.sha256(native_library().read_bytes()).digest()
    assert kernels("python").digest == kernels("jit").digest != kernels("aot").digest


def test_what_numba_compiled_is_kept_for_the_next_process_of_the_same_sources() -> None:
    kernels("jit").bind("scale", columns())
    again = _jit(next(kernel for kernel in KERNELS if kernel.name == "scale"))
    assert sum(again.stats.cache_hits.values()) == 1
    assert [kept.name for kept in FOLDER.glob("jit-*")] == [f"jit-{sources_digest().hex()[:16]}"]


def test_a_missing_library_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="cannot be read") as caught:
        load_kernels("aot", library=tmp_path / "none.so")
    assert "make kernels" in caught.value.remedy


def test_a_library_built_for_another_table_is_refused(tmp_path: Path) -> None:
    image = native_library().read_bytes()
    assert image.count(table_digest()) == 1
    stale = tmp_path / "stale.so"
    stale.write_bytes(image.replace(table_digest(), bytes(32)))
    with pytest.raises(KernelError, match="was built for another table") as caught:
        load_kernels("aot", library=stale)
    assert "make kernels" in caught.value.remedy


def test_a_library_that_is_not_the_described_one_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "gw.so"
    copy.write_bytes(native_library().read_bytes())
    (tmp_path / "gw.json").write_text('{"digest": "00"}')
    with pytest.raises(KernelError, match="half built, or damaged"):
        load_kernels("aot", library=copy)
    (tmp_path / "gw.json").write_text("{")
    with pytest.raises(KernelError, match="unreadable description"):
        load_kernels("aot", library=copy)


def test_what_is_no_kernel_library_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("not a library")
    with pytest.raises(KernelError, match="cannot be loaded"):
        load_kernels("aot", library=text)
    other = Path(ctypes.__file__).parent  # any shared object of Python's own will do
    found = next(iter(sorted((other.parent / "lib-dynload").glob("_bisect*.so"))), None)
    if found is not None:
        with pytest.raises(KernelError, match="is not a kernel library"):
            load_kernels("aot", library=found)


PROGRAM = """
import sys
from array import array
from pathlib import Path
from gatewayd.compiled import load_kernels
loaded = load_kernels("aot", library=Path(sys.argv[1]))
codes = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u1": "B"}
held = {f"{t}.{n}": memoryview(array(codes[k], [0] * 4)) for t, cells in loaded.tables.items() for n, k in cells}
held["tag.value"][0], held["tag.scale"][0] = 21.0, 2.0
assert loaded.bind("scale", held)(1) == 1
assert held["tag.value"][0] == 42.0
heavy = {"numba", "numpy", "llvmlite"} & set(sys.modules)
assert not heavy, heavy
print("ok")
"""

# As systemd's MemoryDenyWriteExecute=yes does: from here on no page may become executable after being writable.
DENY_WRITE_EXECUTE = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GATEWAYD_KERNELS"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment, check=False
    )


def test_the_form_a_gateway_runs_imports_neither_numba_nor_numpy() -> None:
    done = run("-c", PROGRAM, str(native_library()))
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


def test_it_runs_where_memory_may_not_be_written_and_executed() -> None:
    done = run("-c", DENY_WRITE_EXECUTE, "-c", PROGRAM, str(native_library()))
    if done.returncode == 77:
        pytest.skip("needs Linux 6.3 or later: PR_SET_MDWE is unknown here")
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr
    jit = run("-c", DENY_WRITE_EXECUTE, "-c", "import numba")
    assert jit.returncode not in (0, 77), "the kernel did not enforce it, so this test proves nothing"
