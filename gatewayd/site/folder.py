"""The files of a site's folder, read within limits."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from gatewayd.site.problem import Findings, Problem, nearest
from gatewayd.site.source import Origin, Source

FILE_BYTES_MAX = 8 * 1024 * 1024
FILES_MAX = 1000
ENTRIES = ("gateway.toml", "devices", "twins", "policies")


class Folder:
    """A folder being read. Every file it hands out was counted and is within its size.

    Args:
        path: the folder.
        findings: receives what cannot be read.
    """

    def __init__(self, path: Path, findings: Findings) -> None:
        self.path = path
        self._findings = findings
        self._files_read = 0

    def check_entries(self) -> None:
        """Warn of entries that look like a misspelt part of the site."""
        for entry in sorted(self.path.iterdir()):
            near = nearest(entry.name, ENTRIES)
            if entry.name not in ENTRIES and near:
                self._findings.add(
                    Problem(
                        file=entry.name,
                        message=f"nobody reads {entry.name}; did you mean {near}?",
                        remedy=f"Rename it to {near}, or move it out of the folder.",
                        nearest=near,
                        severity="warning",
                    )
                )

    def toml_files(self, part: str) -> Iterator[tuple[Source, dict[str, object]]]:
        """Yield every TOML file of a sub-folder that can be parsed, by name."""
        folder = self.path / part
        if not folder.is_dir():
            return
        for path in sorted(folder.glob("*.toml")):
            if (source := self.read(f"{part}/{path.name}")) and (table := self.parse(source)) is not None:
                yield source, table

    def read(self, name: str) -> Source | None:
        """Return a file's text; None if it is missing, too large, not a file or not UTF-8."""
        path = self.path / name
        if self._files_read == FILES_MAX:
            self._refuse(name, f"a site has at most {FILES_MAX} files", "Join small files; the rest was not read.")
            return None
        self._files_read += 1
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            self._refuse(name, f"{name} {what}", f"Create it; `config/{Path(name).name}` of the example shows how.")
            return None
        try:
            with path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            self._refuse(name, f"{name} cannot be read: {error.strerror}", "Check its owner and mode.")
            return None
        return self._decoded(name, content)

    def _decoded(self, name: str, content: bytes) -> Source | None:
        if len(content) > FILE_BYTES_MAX:
            self._refuse(name, f"{name} is larger than {FILE_BYTES_MAX // 2**20} MB", "Split it over several files.")
            return None
        try:
            return Source(name, content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._refuse(name, f"byte {error.start} is not UTF-8", "Save the file as UTF-8.", line=line)
            return None

    def parse(self, source: Source) -> dict[str, object] | None:
        """Return the tables of a TOML file; None if it is not TOML."""
        try:
            return tomllib.loads(source.text)
        except RecursionError:
            self._refuse(source.name, "tables or arrays are nested too deeply", "Write it flatter.")
        except ValueError as error:  # TOMLDecodeError, and int() on thousands of digits
            where = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
            place = f" at line {where[1]}, column {where[2]}" if where else ""
            what = re.sub(r" \(at .*\)$", "", str(error))
            self._findings.add(
                Origin(source, row=int(where[1]) if where else 0).problem(
                    f"not TOML{place}: {what[:1].lower()}{what[1:]}", remedy=_toml_remedy(source, where)
                )
            )
        return None

    def _refuse(self, name: str, message: str, remedy: str, *, line: int = 0) -> None:
        self._findings.add(Problem(file=name, message=message, remedy=remedy, line=line))


def _toml_remedy(source: Source, where: re.Match[str] | None) -> str:
    lines = source.text.splitlines()
    line = lines[int(where[1]) - 1] if where and int(where[1]) <= len(lines) else ""
    if re.match(r"\s*[\w-]+\s*:", line):
        return "TOML writes KEY = VALUE, with an equals sign."
    if re.match(r"\s*[\w.-]+\s*=\s*[A-Za-z][^\"']*$", line):
        return 'Put quotes around text: KEY = "text".'
    return "Correct this line; nothing else in the file could be checked."
