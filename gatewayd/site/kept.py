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
from gatewayd.version import __version__

NAME: Final = "site.kept"
KEPT_BYTES_MAX: Final = 64 << 20
SITE_BYTES_MAX: Final = 256 << 20
FILES_MAX: Final = 4096
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
_PARTS: Final = (("devices", "*.toml"), ("devices", "*.csv"), ("twins", "*.toml"), ("policies", "*.toml"))
_CHECKERS: Final = ("site", "model", "core", "core/expr")


def kept_site(folder: Path) -> SiteConfig | None:
    """Return what was kept of the site in `folder`; None if it was not, or no longer counts."""
    try:
        path = _storage_of(folder) / NAME
        content = _own_file(path)
        head, packed = content[:_HEAD_BYTES], content[_HEAD_BYTES:]
        if head != _head(sources_digest(folder), packed):
            return None
        config = msgspec.structs.replace(site_from_bytes(_unpacked(packed)), folder=str(folder))
    except (OSError, ValueError, zstandard.ZstdError):  # a start without it is slower, and nothing else
        return None
    return config if all((folder / name).is_file() for name in named_files(config)) else None


def keep_site(config: SiteConfig) -> bool:
    """Keep a site that was found sound; False where that is not possible, as before `gatewayd init`."""
    folder, storage = Path(config.folder), Path(config.gateway.storage.path)
    beside = storage / f".{NAME}.{os.getpid()}"
    packed = zstandard.ZstdCompressor(level=1).compress(site_bytes(config))
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_head(sources_digest(folder), packed) + packed)
        beside.replace(storage / NAME)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        return False
    return True


def sources_digest(folder: Path) -> bytes:
    """Return SHA-256 over everything a site is made of: its files, by name, and the program that checks them.

    Raises:
        OSError: a file cannot be read.
        ValueError: there are more files than a site may have.
    """
    hashed = sha256(f"{__version__}\0".encode())
    for place, path in enumerate(_sources(folder)):
        if place == FILES_MAX:
            raise ValueError(f"more than {FILES_MAX} files")
        content = path.read_bytes()
        hashed.update(f"{path.name}\0{path.parent.name}\0{len(content)}\0".encode())
        hashed.update(content)
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
    """Yield the site's files, and in development the modules that check them; a binary has its version alone."""
    yield folder / "gateway.toml"
    for part, pattern in _PARTS:
        yield from sorted((folder / part).glob(pattern))
    package = Path(__file__).parent.parent
    for part in _CHECKERS:
        yield from sorted((package / part).glob("*.py"))


def _storage_of(folder: Path) -> Path:
    """Return where the site says its storage is. Nothing is believed of that but where to look."""
    table = tomllib.loads((folder / "gateway.toml").read_text(encoding="utf-8-sig"))
    storage = table.get("storage")
    path = storage.get("path") if isinstance(storage, dict) else None
    if not isinstance(path, str):
        raise ValueError("gateway.toml names no storage")
    return Path(path)


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
