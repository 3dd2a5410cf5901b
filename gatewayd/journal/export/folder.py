"""The folder of an export while it grows: `DIR.part`, which gets its name when it is whole and is gone if it is not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from gatewayd.errors import StoreError
from gatewayd.journal.export.prov import PREFIXES, SECTIONS, Statement


class ExportFolder:
    """Files of one export. `begin` makes it; either `finish` or `discard` ends it.

    Args:
        target: the folder it becomes.
        part: the folder it is.
    """

    def __init__(self, target: Path, part: Path) -> None:
        self._target = target
        self._part = part
        self._made: set[Path] = set()  # one for each 1,000 tiles

    @classmethod
    def begin(cls, target: Path) -> ExportFolder:
        """Make the folder to write into.

        Raises:
            StoreError: there is one of that name, another export is under way or was cut off, or it cannot be made.
        """
        part = target.with_name(f"{target.name}.part")
        if target.exists() or target.is_symlink():
            raise StoreError(f"{target} exists", remedy="Name a new folder: an export is never mixed with another.")
        if part.exists():
            raise StoreError(
                f"{part} exists: another export is under way, or one was cut off",
                remedy=f"If none is running: rm -r '{part}'",
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.mkdir(mode=0o700)
        except OSError as error:
            raise StoreError(
                f"cannot make {part}: {error.strerror}", remedy="Choose a folder that you may write to."
            ) from error
        return cls(target, part)

    def write(self, name: str, content: bytes) -> None:
        """Write one file.

        Raises:
            OSError: it cannot be written.
        """
        path = self._part / name
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        path.write_bytes(content)

    def append(self, name: str, content: bytes) -> None:
        """Add to a file."""
        with (self._part / name).open("ab") as file:
            file.write(content)

    def read(self, name: str) -> bytes:
        """Return the content of a file written before."""
        return (self._part / name).read_bytes()

    def holds(self, name: str) -> bool:
        """Say whether a file was written before."""
        return (self._part / name).exists()

    def finish(self) -> None:
        """Make everything durable, then give the folder its name."""
        os.sync()  # one call instead of an fsync for each of thousands of files
        self._part.rename(self._target)

    def discard(self) -> None:
        """Remove what was written; does nothing after `finish`."""
        shutil.rmtree(self._part, ignore_errors=True)

    def path(self, name: str) -> Path:
        """Return where a file is, for now."""
        return self._part / name


class ProvDocument:
    """`prov.json` as it grows: a section in a file each, put together at the end, so that memory stays flat."""

    def __init__(self, folder: ExportFolder) -> None:
        self._folder = folder
        self._files = {section: folder.path(f"prov.{section}").open("wb") for section in SECTIONS}
        self._encoder = msgspec.json.Encoder()

    def add(self, statement: Statement) -> None:
        """Add one statement; its name must be new in its section."""
        file = self._files[statement.section]
        before = b",\n" if file.tell() else b"\n"
        name, attributes = self._encoder.encode(statement.name), self._encoder.encode(statement.attributes)
        file.write(before + name + b":" + attributes)

    def finish(self) -> None:
        """Write `prov.json` and remove the pieces."""
        self.close()
        with self._folder.path("prov.json").open("wb") as document:
            document.write(b'{"prefix":' + self._encoder.encode(PREFIXES))
            for section in SECTIONS:
                piece = self._folder.path(f"prov.{section}")
                document.write(b',\n"' + section.encode() + b'":{')
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, document)
                document.write(b"}")
                piece.unlink()
            document.write(b"}\n")

    def close(self) -> None:
        """Close the pieces."""
        for file in self._files.values():
            file.close()
