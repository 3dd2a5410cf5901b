"""A folder on a disk that keeps only what was synced: what may be found in it after the power fails.

A sector of 512 bytes is old or new, never a mixture. What was not synced may be there or not, sector by sector and in
any order, as any of the contents it has had since; a file may have any size it has had. Names come and go in the order
in which they were made and removed. A sync that failed is the worst case of Linux: what it was to write counts as clean,
is shown to every reader, and no later sync writes it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from hil.strace import Call

SECTOR = 512


class Fate(Enum):
    """What becomes of the writes that no sync has covered."""

    ALL = "all"  # as after the death of the process alone
    NONE = "none"
    PREFIX = "prefix"  # in order, up to one that is torn
    SUFFIX = "suffix"  # only the last ones
    RANDOM = "random"  # every sector for itself


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.cache = bytearray(content)
        self._durable = bytearray(content)
        self._versions: dict[int, list[tuple[int, bytes]]] = {}  # of a sector, not durable yet, oldest first
        self._sizes: list[tuple[int, int]] = []
        self._lost: set[int] = set()  # numbers of writes that no later sync will write

    def write(self, number: int, offset: int, content: bytes) -> None:
        end = offset + len(content)
        if end > len(self.cache):
            self.resize(number, end)
        self.cache[offset:end] = content
        for sector in range(offset // SECTOR, -(-end // SECTOR)):
            self._versions.setdefault(sector, []).append((number, self._sector(self.cache, sector)))

    def resize(self, number: int, size: int) -> None:
        del self.cache[size:]
        self.cache.extend(bytes(size - len(self.cache)))
        self._sizes.append((number, size))

    def sync(self, until: int, *, first: int = 0, last: int = 1 << 60) -> None:
        """Make durable what was written before `until`, in these sectors."""
        for _, size in [entry for entry in self._sizes if entry[0] < until and entry[0] not in self._lost][-1:]:
            del self._durable[size:]
            self._durable.extend(bytes(size - len(self._durable)))
            self._sizes = [entry for entry in self._sizes if entry[0] >= until]
        for sector in [sector for sector in self._versions if first <= sector <= last]:
            versions = self._versions[sector]
            written = [version for version in versions if version[0] < until and version[0] not in self._lost]
            if written:
                self._put(self._durable, sector, written[-1][1])
                versions = [version for version in versions if version[0] > written[-1][0]]
            if versions:
                self._versions[sector] = versions
            else:
                del self._versions[sector]

    def sync_failed(self, until: int) -> None:
        self._lost |= {number for versions in self._versions.values() for number, _ in versions if number < until}

    @property
    def pending(self) -> list[int]:
        """Return the numbers of the writes that are not durable, oldest first."""
        numbers = {number for versions in self._versions.values() for number, _ in versions}
        return sorted(numbers | {number for number, _ in self._sizes})

    def after_cut(self, fate: Fate, chance: random.Random) -> bytes:
        """Return what is found."""
        pending = self.pending
        border = chance.choice(pending) if pending else 0
        kept = {
            Fate.ALL: lambda _: True,
            Fate.NONE: lambda _: False,
            Fate.PREFIX: lambda number: number < border or (number == border and chance.random() < 0.5),
            Fate.SUFFIX: lambda number: number >= border,
            Fate.RANDOM: lambda _: chance.random() < 0.5,
        }[fate]
        found = bytearray(self._durable)
        sizes = [size for number, size in self._sizes if kept(number)]
        if sizes:
            size = sizes[-1]
            del found[size:]
            found.extend(bytes(size - len(found)))
        for sector, versions in self._versions.items():
            contents = [content for number, content in versions if kept(number)]
            if contents and sector * SECTOR < len(found):
                self._put(found, sector, chance.choice(contents) if fate is Fate.RANDOM else contents[-1])
        return bytes(found)

    @staticmethod
    def _sector(content: bytearray, sector: int) -> bytes:
        return bytes(content[sector * SECTOR : (sector + 1) * SECTOR])

    @staticmethod
    def _put(content: bytearray, sector: int, new: bytes) -> None:
        start = sector * SECTOR
        room = max(0, min(len(new), len(content) - start))
        content[start : start + room] = new[:room]


class Disk:
    """One folder, moved on call by call.

    Args:
        files: what it holds and has held for long.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = {name: _File(content) for name, content in files.items()}
        self._durable_names = dict(self._files)
        self._name_changes: list[tuple[int, dict[str, _File | None]]] = []

    def begin(self, call: Call) -> None:
        """Let a call reach the page cache; a sync has only been asked for."""
        number = call.begun
        if call.kind == "create" and call.name not in self._files:
            self._files[call.name] = _File()
            self._name_changes.append((number, {call.name: self._files[call.name]}))
        elif call.kind == "write":
            self._files[call.name].write(number, call.offset, call.content)
        elif call.kind == "size":
            file = self._files[call.name]
            grows_only = call.offset == 1  # of fallocate
            if call.size != len(file.cache) and not (grows_only and call.size < len(file.cache)):
                file.resize(number, call.size)
        elif call.kind == "unlink":
            self._files.pop(call.name, None)
            self._name_changes.append((number, {call.name: None}))
        elif call.kind == "rename":
            name = call.content.decode()
            self._files[name] = self._files.pop(call.name)
            self._name_changes.append((number, {call.name: None, name: self._files[name]}))

    def end(self, call: Call) -> None:
        """Let a call come back: what it was to make durable, is."""
        if call.kind == "sync" and not call.name:
            for _, change in [change for change in self._name_changes if change[0] < call.begun]:
                _rename(self._durable_names, change)
            self._name_changes = [change for change in self._name_changes if change[0] >= call.begun]
        elif call.kind == "sync":
            self._files[call.name].sync(call.begun)
        elif call.kind == "sync_failed" and call.name:
            self._files[call.name].sync_failed(call.begun)
        elif call.kind == "write" and call.is_synced:
            first, last = call.offset // SECTOR, (call.offset + len(call.content) - 1) // SECTOR
            self._files[call.name].sync(call.begun + 1, first=first, last=last)

    @property
    def pending(self) -> int:
        """Return how many writes, sizes and names are not durable."""
        return len(self._name_changes) + sum(len(file.pending) for file in self._files.values())

    def after_cut(self, fate: Fate, chance: random.Random) -> dict[str, bytes]:
        """Return the files that are found, name -> content."""
        names = dict(self._durable_names)
        known = chance.randint(0, len(self._name_changes))
        known = {Fate.ALL: len(self._name_changes), Fate.NONE: 0}.get(fate, known)
        for _, change in self._name_changes[:known]:
            _rename(names, change)
        return {name: file.after_cut(fate, chance) for name, file in names.items()}


def _rename(names: dict[str, _File], change: Mapping[str, _File | None]) -> None:
    for name, file in change.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def put_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new folder."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, name -> content."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
