"""Judge a data file before LMDB maps it: a truncated or scrambled one would kill the process with SIGBUS.

`python -m gatewayd.store.probe FOLDER` walks the whole structure without LMDB's engine; exit 0 when it is sound.
The walk runs in a child process so that neither its time nor its memory is the daemon's.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

from lmdb.verify import VerifyError
from lmdb.verify import verify as verify_structure

from gatewayd.errors import StoreDamaged

DATA_NAME = "data.mdb"
PROBE_S_MAX = 10.0  # about 50,000 pages a second on a desktop, a tenth of that on a small board
SUSPECT_PROBE_S_MAX = 600.0

_META_MAGIC = 0xBEEFC0DE
_META_HEADER = 16  # bytes of page header before the meta data
_META = struct.Struct("=II8xQI44x48xQQ")  # magic, version, (address), map size, page size, (dbs), last page, txn id


def check_data_file(folder: Path, *, was_clean: bool) -> None:
    """Refuse a data file that LMDB could not read safely. A missing file is fine.

    Args:
        folder: the store's folder.
        was_clean: the last owner closed the store; then only the sizes are checked, in this process.

    Raises:
        StoreDamaged: the file is damaged; it is left as it is.
    """
    path = folder / DATA_NAME
    if not path.exists() or path.stat().st_size == 0:
        return
    is_short = path.stat().st_size < claimed_bytes(path)
    if was_clean and not is_short:
        return
    _probe_in_child(folder, SUSPECT_PROBE_S_MAX if is_short else PROBE_S_MAX)


def claimed_bytes(path: Path) -> int:
    """Return the file size that the newest meta page speaks of; behind it are blocks that no page has used yet.

    Raises:
        StoreDamaged: there is no meta page.
    """
    with path.open("rb") as file:
        first = file.read(_META_HEADER + _META.size)
        if len(first) < _META_HEADER + _META.size:
            raise _damaged(path.parent, f"it is {len(first)} bytes long")
        magic, _, _, page_bytes, last_page, transaction = _META.unpack_from(first, _META_HEADER)
        if magic != _META_MAGIC or not 512 <= page_bytes <= 65536:
            raise _damaged(path.parent, "its first page is not a meta page")
        file.seek(page_bytes)
        second = file.read(_META_HEADER + _META.size)
    if len(second) < _META_HEADER + _META.size:
        raise _damaged(path.parent, "it ends before its second meta page")
    other_magic, _, _, _, other_last_page, other_transaction = _META.unpack_from(second, _META_HEADER)
    if other_magic != _META_MAGIC:
        raise _damaged(path.parent, "its second page is not a meta page")
    return int(page_bytes * (1 + (last_page if transaction > other_transaction else other_last_page)))


def _probe_in_child(folder: Path, seconds: float) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "gatewayd.store.probe", str(folder)]
    try:
        probe = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return  # so much of it is sound; the journal checks the hash of every record it reads
    if probe.returncode != 0:
        output = (probe.stdout + probe.stderr).decode("utf-8", "replace").strip()[-1000:]
        raise _damaged(folder, output or f"the check ended with status {probe.returncode}")


def _damaged(folder: Path, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"the data file {folder / DATA_NAME} is damaged: {what}",
        remedy="Nothing was changed. `gatewayd run` puts the store aside and begins a new epoch of the journal.",
    )


def _problems(folder: Path) -> list[str]:
    try:
        return [str(problem) for problem in verify_structure(str(folder))]  # type: ignore[no-untyped-call]
    except (VerifyError, OSError) as error:
        return [str(error)]


def main(arguments: list[str]) -> int:
    """Check one store's folder; print what is wrong with it."""
    problems = _problems(Path(arguments[0]))
    sys.stdout.write("\n".join(problems[:5]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
