"""The site as it was last found sound, kept in the storage folder: a start need not parse and check what has not changed.

Parsing and checking 10,000 tags takes seconds on a small machine, and a gateway restarts with the site it had far more
often than with another one. What is kept counts only while every file it was made from has the same bytes, and the
program that checked it is the same; else the site is loaded as ever, with every problem told.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from gatewayd.model.config import SiteConfig
from gatewayd.model.device import Device
from gatewayd.site.digest import site_bytes, site_from_bytes
from gatewayd.site.folder import FILE_BYTES_MAX
from gatewayd.version import __version__

NAME: Final = "site.kept"
KEPT_BYTES_MAX: Final = 64 << 20
SITE_BYTES_MAX: Final = 256 << 20
SOURCES_MAX: Final = 4096
FILE_KEYS: Final = (
    "server_certificate",
    "certificate",
    "private_key",
    "password_file",
    "user_certificate",
    "user_private_key",
    "ca_file",
    "certificate_file",
    "key_file",
)

_MAGIC: Final = b"gw-site1"
_DIGEST_BYTES: Final = 32
_HEAD_BYTES: Final = len(_MAGIC) + 2 * _DIGEST_BYTES  # then zstd of the site's canonical bytes
_PARTS: Final = ("devices", "twins", "policies")
_UNUSABLE: Final = (OSError, ValueError, RecursionError, msgspec.MsgspecError, zstandard.ZstdError)
_CHECKERS: Final = ("site", "model", "core", "core/expr")


def kept_site(folder: Path) -> SiteConfig | None:
    """Return what was kept of the site in `folder`; None if it was not, or no longer counts."""
    try:
        content = _own_file(_storage_of(folder) / NAME)
        head, packed = content[:_HEAD_BYTES], content[_HEAD_BYTES:]
        sources = sources_digest(folder)
        if not sources or head != _head(sources, packed):
            return None
        config = msgspec.structs.replace(site_from_bytes(_unpacked(packed)), folder=str(folder))
    except _UNUSABLE:  # a start without it is slower, and nothing else
        return None
    return config if all((folder / name).is_file() for name in named_files(config)) else None


def keep_site(config: SiteConfig, sources: bytes) -> bool:
    """Keep a site that was found sound; False where that is not possible, as before `gatewayd init`.

    Args:
        config: as it was read.
        sources: the digest from before that; a site that somebody changed meanwhile is not kept.
    """
    folder, storage = Path(config.folder), Path(config.gateway.storage.path)
    if not sources or sources_digest(folder) != sources:
        return False
    beside = storage / f".{NAME}.{os.getpid()}"
    packed = zstandard.ZstdCompressor(level=1).compress(site_bytes(config))
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_head(sources, packed) + packed)
        beside.replace(storage / NAME)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        return False
    return True


def sources_digest(folder: Path) -> bytes:
    """Return SHA-256 over everything a site is made of: its files, by name, and the program that checks them.

    Empty when it cannot be told: a file cannot be read, is larger than a site's may be, or there are too many.
    """
    hashed = sha256(f"{__version__}\0".encode())
    try:
        for place, path in enumerate(_sources(folder)):
            content = _content(path)
            if place == SOURCES_MAX or len(content) > FILE_BYTES_MAX:
                return b""
            hashed.update(f"{path.name}\0{path.parent.name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            hashed.update(content)
    except OSError:
        return b""
    return hashed.digest()


def named_files(config: SiteConfig) -> Iterator[str]:
    """Yield the files in the site's folder that a device or the cloud link names; a check wants them to be there."""
    named: list[Device | msgspec.Struct | None] = [*config.devices.values(), config.gateway.cloud]
    for part in named:
        for key in FILE_KEYS:
            name = getattr(part, key, None)
            if isinstance(name, str) and not name.startswith("/"):
                yield name


def _sources(folder: Path) -> Iterator[Path]:
    """Yield the site's files, and in development the modules that check them; a binary has its version alone.

    Every file of the parts counts, whatever its name: a device says what its tag list is called.
    """
    yield folder / "gateway.toml"
    for part in _PARTS:
        yield from sorted(path for path in (folder / part).glob("*") if path.is_file())
    package = Path(__file__).parent.parent
    for part in _CHECKERS:
        yield from sorted((package / part).glob("*.py"))


def _storage_of(folder: Path) -> Path:
    """Return where the site says its storage is. Nothing is believed of that but where to look."""
    table = tomllib.loads(_content(folder / "gateway.toml").decode("utf-8-sig"))
    storage = table.get("storage")
    path = storage.get("path") if isinstance(storage, dict) else None
    if not isinstance(path, str):
        raise ValueError("gateway.toml names no storage")
    return Path(path)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, one more than a site's may have if there are more."""
    if not path.is_file():
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # room for what is there only: 8 MB for each file would stay resident
        return file.read(min(size, FILE_BYTES_MAX) + 1)


def _own_file(path: Path) -> bytes:
    """Return the bytes of a file that nobody but us, or root, can have written."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022 or status.st_size > KEPT_BYTES_MAX:
            raise ValueError(f"{path} is not ours")
        return file.read(KEPT_BYTES_MAX)


def _head(sources: bytes, packed: bytes) -> bytes:
    return _MAGIC + sources + sha256(packed).digest()


def _unpacked(packed: bytes) -> bytes:
    if not 0 <= zstandard.frame_content_size(packed) <= SITE_BYTES_MAX:
        raise ValueError("it claims to be too large")
    return zstandard.ZstdDecompressor(max_window_size=SITE_BYTES_MAX).decompress(packed)
