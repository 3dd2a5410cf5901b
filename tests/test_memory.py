"""Each test needs a process of its own: what is asked of the system holds for good."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from gatewayd import memory
from gatewayd.model.view import MemoryView

ROOT = Path(__file__).resolve().parent.parent

GUARD = """
import json, mmap, sys
import msgspec
from gatewayd.memory import refuse_exec_gain
found = refuse_exec_gain(sys.argv[1])
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    refused = False
except PermissionError:
    refused = True
print(json.dumps([found.guard, found.reason, refused]))
"""

# mmap of a page W+X, mprotect and pkey_mprotect to X: what systemd 252 forbids where the kernel has no PR_SET_MDWE. The
# program of the filter is of systemd's shape, not its text. `prctl` with 65 fails as on Linux before 6.3.
FILTER = """
import ctypes, os, platform, struct, sys
numbers = {"x86_64": (9, 10, 329, 157), "aarch64": (222, 226, 288, 167)}.get(platform.machine())
if numbers is None:
    sys.exit(77)
mmap_, mprotect, pkey_mprotect, prctl = numbers
LOAD, AND, IS, HAS, RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
ALLOW, EPERM, EINVAL = 0x7FFF0000, 0x00050001, 0x00050016
NUMBER, FIRST, THIRD = 0, 16, 32
program = [
    (LOAD, 0, 0, NUMBER),
    (IS, 4, 0, mmap_),          # to 6
    (IS, 6, 0, mprotect),       # to 9
    (IS, 5, 0, pkey_mprotect),  # to 9
    (IS, 6, 0, prctl),          # to 11
    (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, THIRD),
    (AND, 0, 0, 6),
    (IS, 5, 4, 6),              # W and X: to 14, else 13
    (LOAD, 0, 0, THIRD),
    (HAS, 3, 2, 4),             # X: to 14, else 13
    (LOAD, 0, 0, FIRST),
    (IS, 2, 0, 65),             # to 15
    (RETURN, 0, 0, ALLOW),
    (RETURN, 0, 0, EPERM),
    (RETURN, 0, 0, EINVAL),
]
if "--only-prctl" in sys.argv:
    program[6], program[9] = (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ALLOW)
    sys.argv.remove("--only-prctl")
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(described), 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this machine lets no process put a system call filter on itself")
    assert done.returncode == 0, done.stderr
    return done


def test_the_daemon_gives_up_executable_memory_by_itself() -> None:
    guard, reason, refused = json.loads(run("-c", GUARD, "aot").stdout)
    if "has no PR_SET_MDWE" in reason:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert (guard, reason, refused) == ("prctl", "", True)


def test_a_development_form_that_compiles_keeps_its_right_and_says_so() -> None:
    guard, reason, refused = json.loads(run("-c", GUARD, "jit").stdout)
    assert (guard, refused) == ("", False)
    assert "GATEWAYD_KERNELS=jit" in reason


def test_on_an_older_kernel_the_filter_of_systemd_does_it_and_is_named() -> None:
    guard, reason, refused = json.loads(run("-c", FILTER, "-c", GUARD, "aot").stdout)
    assert (guard, refused) == ("filter", True)
    assert "has no PR_SET_MDWE" in reason


def test_on_an_older_kernel_without_a_filter_nothing_is_claimed() -> None:
    guard, reason, refused = json.loads(run("-c", FILTER, "--only-prctl", "-c", GUARD, "aot").stdout)
    assert (guard, refused) == ("", False)
    assert "has no PR_SET_MDWE" in reason
    assert "systemd unit" in reason


def test_a_kernel_that_accepts_and_does_not_enforce_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_prctl", lambda: "")
    found = memory.refuse_exec_gain("aot")  # of this process nothing was asked
    assert (found.guard, "does not enforce" in found.reason) == ("", True)


def test_another_guard_of_the_system_is_not_taken_for_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_prctl", lambda: "no such thing")
    monkeypatch.setattr(memory, "_is_refused", lambda: True)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    expected = MemoryView(guard="system", reason="no such thing")
    assert memory.refuse_exec_gain("aot") == expected  # without a /proc, too
    (tmp_path / "status").write_text("Name:\tgatewayd\nSeccomp:\t0\n")
    assert memory.refuse_exec_gain("aot") == expected


BLOCKS = """
import sys
from gatewayd.memory import give_large_blocks_back
def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096
if "--ask" in sys.argv:
    give_large_blocks_back()
size = 4 << 20
_ = bytearray(b"x" * (6 * size)), bytearray(b"x" * (6 * size))
del _
before = resident()
blocks = []
for _ in range(4):
    blocks += bytearray(b"x" * size), bytearray(b"x" * 50_000)
del blocks[::2]
print((resident() - before) // size)
"""


def test_large_blocks_are_given_back_though_small_ones_lie_above_them() -> None:
    """Of four of them nothing stays resident; without the request most of them do, once a larger one was freed."""
    assert int(run("-c", BLOCKS, "--ask").stdout) == 0
    if platform.libc_ver()[0] == "glibc":
        assert int(run("-c", BLOCKS).stdout) >= 2


PARTS = """
import ctypes, sys
order, *_ = sys.argv[1:]
from gatewayd.memory import refuse_exec_gain
if order == "before":
    assert refuse_exec_gain("aot").guard
import asyncio, uvloop, lmdb, msgspec, zstandard, tempfile
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives import hashes
from cryptography import x509
import ssl
from gatewayd.compiled import load_kernels
load_kernels()
if order == "after":
    assert refuse_exec_gain("aot").guard
key = ed25519.Ed25519PrivateKey.generate()
key.public_key().verify(key.sign(b"leaf"), b"leaf")
ec.generate_private_key(ec.SECP256R1()).sign(b"leaf", ec.ECDSA(hashes.SHA256()))
ssl.create_default_context()
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda number: number + 1)
assert compare(41) == 42
with tempfile.TemporaryDirectory() as folder:
    with lmdb.open(folder) as env, env.begin(write=True) as writing:
        writing.put(b"leaf", zstandard.compress(b"leaf"))
async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    server.close()
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
print("ok")
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_all_that_the_daemon_is_made_of_works_under_it(order: str) -> None:
    """Whether the libraries are there already or come later: loop, store, keys, TLS, call-backs of ctypes, kernels."""
    assert run("-c", PARTS, order).stdout == "ok\n"
