"""`python refuse_exec_gain.py -m MODULE ARGUMENTS`: run a module in a process that can never make memory executable.

As systemd's MemoryDenyWriteExecute= does with prctl(2) PR_SET_MDWE (Linux 6.3). Exit code 77 where the kernel has none.
"""

from __future__ import annotations

import ctypes
import mmap
import runpy
import sys

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
UNSUPPORTED = 77


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        sys.exit(UNSUPPORTED)
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except PermissionError:
        pass
    else:
        sys.exit("memory that is writable and executable was granted")
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
