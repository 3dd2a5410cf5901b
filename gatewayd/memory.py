"""What the daemon asks of the system about its memory, before anything else.

No page may be written and then executed: what is compiled is compiled ahead of time, so nothing needs it. systemd's
MemoryDenyWriteExecute= says the same from outside. The daemon says it for itself, so that it also holds in a container or a
terminal, and tries what it was promised: a guard that is named but does not guard is worse than none.

Large blocks are mapped each on its own, so that their pages go back to the system when they are freed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

from gatewayd.model.view import MemoryView

_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN = 65, 1  # linux/prctl.h, Linux 6.3
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 128 << 10  # malloc.h of glibc, and what glibc begins with
_STATUS = Path("/proc/self/status")
_SECCOMP_FILTER = "2"


def give_large_blocks_back() -> None:
    """Keep malloc from putting large blocks into the heap, where what is freed below another one stays resident.

    glibc does so up to the size of the largest block that was ever freed: after the bytes of a site, that is everything.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # others than glibc have none, and keep to their limit
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def refuse_exec_gain(form: str) -> MemoryView:
    """Make it impossible, for good, for this process and its children to gain executable memory; say what guards it.

    Args:
        form: of the kernels; with `jit` the process is left as it is, for it has a compiler in it.
    """
    if form == "jit":
        return MemoryView(
            guard="", reason="kernels are compiled as they run (GATEWAYD_KERNELS=jit), for development only"
        )
    failure = _prctl()
    if not _is_refused():
        reason = failure or "the kernel accepted PR_SET_MDWE and does not enforce it"
        return MemoryView(guard="", reason=f"{reason}; start it by its systemd unit")
    if not failure:
        return MemoryView(guard="prctl")
    return MemoryView(guard="filter" if _has_filter() else "system", reason=failure)


def _prctl() -> str:
    """Ask the kernel; return why it will not, nothing if it does. Asking twice is no error: systemd may have asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0:
        return ""
    return f"Linux {os.uname().release} has no PR_SET_MDWE (6.3 has): {os.strerror(ctypes.get_errno())}"


def _is_refused() -> bool:
    """Try both ways to executable memory: a page that is both at once, and one that is written first."""
    return _is_mapping_refused() and _is_protection_refused()


def _is_mapping_refused() -> bool:
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return True
    return False


def _is_protection_refused() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        cell = ctypes.c_char.from_buffer(page)
        address = ctypes.c_void_p(ctypes.addressof(cell))
        gained = libc.mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC) == 0
        del cell  # it holds the page
    return not gained


def _has_filter() -> bool:
    """Say whether a system call filter is on this process, as MemoryDenyWriteExecute= of an older systemd puts there."""
    try:
        found = re.search(r"^Seccomp:\s*(\d)", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and found[1] == _SECCOMP_FILTER
