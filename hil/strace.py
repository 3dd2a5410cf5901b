"""Runs a command under strace and gives back what it did to the files of one folder, in order, with every byte."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CALLS = "openat,lseek,pwrite64,pwritev,write,writev,fdatasync,fsync,ftruncate,fallocate,unlink,unlinkat,rename,mkdir"
RUN_S_MAX = 120
STRING_BYTES_MAX = 64 << 20

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\)\s+= (-?\d+)(.*)$", re.DOTALL)
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_SYNCS = {"fdatasync", "fsync"}


class Call(NamedTuple):
    """One call's effect on the folder, or a line on stdout.

    `kind` is "say", "create", "write", "size", "unlink", "rename" (`content` is
    the new name), "sync" or "sync_failed". A call begins and ends: between the
    two nobody knows how much of it has happened.
    """

    kind: str
    name: str = ""  # of the file; empty = the folder itself
    offset: int = 0
    content: bytes = b""
    size: int = 0
    is_synced: bool = False  # it went through a descriptor of O_DSYNC
    begun: int = 0  # place in the order of beginnings and ends
    ended: int = 0


class Run(NamedTuple):
    """A command's end and what it did."""

    code: int
    calls: list[Call]
    stderr: str


def run(command: Sequence[str], folder: Path, trace: Path, inject: Sequence[str] = ()) -> Run:
    """Run a command under strace.

    Args:
        command: it must name the folder by its absolute path.
        folder: whose files matter.
        trace: where strace writes; about five bytes per byte written.
        inject: faults in strace's words, e.g. `fdatasync:error=EIO:when=3`; of calls that the command uses on the folder
            alone.
    """
    assert folder.is_absolute()
    faults = [option for fault in inject for option in ("-e", f"inject={fault}")]
    options = ["-f", "-y", "-xx", "-s", str(STRING_BYTES_MAX), "-e", f"trace={CALLS}", *faults, "-o", str(trace)]
    done = subprocess.run(
        ["strace", *options, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=RUN_S_MAX,
        check=False,
    )
    return Run(done.returncode, list(parse(trace.read_text(), folder)), done.stderr.decode("utf-8", "replace"))


def parse(text: str, folder: Path) -> Iterator[Call]:
    """Return the calls of a trace that matter, in the order of their ends."""
    begun: dict[tuple[str, str], tuple[int, str]] = {}
    reader = _Reader(str(folder))
    for place, line in enumerate(text.splitlines()):
        if match := _BEGUN.match(line):
            process, name, arguments = match.groups()
            begun[process, name] = place, arguments
            continue
        start = place
        if match := _RESUMED.match(line):
            process, name, rest = match.groups()
            start, arguments = begun.pop((process, name))
            line = f"{process} {name}({arguments}{rest}"
        if match := _LINE.match(line):
            _, name, arguments, result, rest = match.groups()
            call = reader.call(name, arguments, int(result), rest)
            if call is not None:
                yield call._replace(begun=start, ended=place)


class _Reader:
    """Knows which descriptors sync by themselves and where those that were moved stand."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._synced: set[tuple[int, str]] = set()
        self._offsets: dict[tuple[int, str], int] = {}

    def call(self, name: str, arguments: str, result: int, rest: str) -> Call | None:
        if name == "openat":
            return self._opened(arguments, result, rest)
        if name in {"unlink", "unlinkat", "rename", "mkdir"}:
            return self._named(
                name, [bytes.fromhex(path.replace("\\x", "")) for path in _STRING.findall(arguments)], result
            )
        match = _DESCRIPTOR.match(arguments)
        if match is None:
            return None
        descriptor, path = int(match[1]), _unescaped(match[2])
        if descriptor == 1 and name == "write":
            line = _bytes(arguments)
            return Call("say", content=line) if line.startswith(b"{") else None  # children have a stdout, too
        if path != self._folder and not self._is_ours(path):
            return None
        return self._on_file(name, (descriptor, path), arguments[match.end() :], result)

    def _named(self, name: str, paths: list[bytes], result: int) -> Call | None:
        names = [Path(path.decode()).name for path in paths if self._is_ours(path.decode())]
        if not names or result != 0:
            return None
        assert name in {"unlink", "rename"}, f"{name} in the folder is not understood"
        return Call(name, names[0], content=names[-1].encode())

    def _on_file(self, name: str, at: tuple[int, str], arguments: str, result: int) -> Call | None:
        file = "" if at[1] == self._folder else Path(at[1]).name
        numbers = [int(number) for number in re.findall(r"(?<=, )\d+(?=,|$)", _STRING.sub("", arguments))]
        if name in _SYNCS:
            return Call("sync" if result == 0 else "sync_failed", file)
        if result < 0:
            return None
        if name == "lseek":
            self._offsets[at] = result
            return None
        if name == "ftruncate":
            return Call("size", file, size=numbers[0])
        if name == "fallocate":
            return Call("size", file, offset=1, size=numbers[-2] + numbers[-1])
        offset = numbers[-1] if name.startswith("pwrite") else self._offsets.get(at, 0)
        if not name.startswith("pwrite"):
            self._offsets[at] = offset + result
        return Call("write", file, offset, _bytes(arguments)[:result], is_synced=at in self._synced)

    def _opened(self, arguments: str, result: int, rest: str) -> Call | None:
        if result < 0 or (match := _DESCRIPTOR.match(f"{result}{rest}")) is None:
            return None
        path = _unescaped(match[2])
        if not self._is_ours(path):
            return None
        at = result, path
        self._offsets.pop(at, None)
        self._synced.discard(at)
        if "O_DSYNC" in arguments or "O_SYNC" in arguments:
            self._synced.add(at)
        assert "O_TRUNC" not in arguments, "O_TRUNC is not understood"
        return Call("create", Path(path).name) if "O_CREAT" in arguments else None

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self._folder + "/")


def _bytes(arguments: str) -> bytes:
    """Return the strings of a call, one after the other."""
    return b"".join(bytes.fromhex(string.replace("\\x", "")) for string in _STRING.findall(arguments))


def _unescaped(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path
