"""The log's Ed25519 key and the gateway's name for its log."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.errors import StoreError
from gatewayd.proof.note import KEY_SIZE, NoteError, SeedSigner
from gatewayd.store.disk import sync_folder

KEY_NAME = "journal-key"
IDENTITY_NAME = "identity.json"


class PreviousLog(Struct, frozen=True, forbid_unknown_fields=True):
    """The log before a damaged one was given up.

    Args:
        origin: its name.
        checkpoint: the newest one that was found in its store; empty = none.
        reason: why it was given up.
        kept_as: the folder, beside the new store, in which its store is kept.
        is_moved: its store has been put there.
    """

    origin: str
    checkpoint: str
    reason: str
    kept_as: str
    is_moved: bool = False


class LogIdentity(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which log this gateway writes; public, beside the key."""

    origin: str
    epoch: int
    vkey: str
    previous: PreviousLog | None = None


def create_identity(
    storage_path: Path, name: str, environment: Mapping[str, str] = os.environ
) -> tuple[LogIdentity, SeedSigner]:
    """Create the key, unless systemd delivers one, and the identity of epoch 1 in `<storage_path>/keys`.

    Args:
        storage_path: the daemon's storage folder.
        name: schema-less name of the gateway, e.g. `acme.example/gw/site-7/gw-0042`; the origin is `NAME/e1`.
        environment: where `CREDENTIALS_DIRECTORY` is looked up.

    Raises:
        StoreError: there is an identity already, or the folder cannot be written.
        NoteError: the name holds spaces or '+'.
    """
    folder = storage_path / "keys"
    if (folder / IDENTITY_NAME).exists():
        raise StoreError(
            f"{folder} holds an identity already",
            remedy="The gateway is initialised; its verifier key stands in that folder's identity.json.",
        )
    origin = f"{name}/e1"
    SeedSigner(origin, bytes(KEY_SIZE))  # refuses a bad name before anything is created
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _credential(environment) is None and not (folder / KEY_NAME).exists():
            _write_new(folder / KEY_NAME, os.urandom(KEY_SIZE))
        signer = SeedSigner(origin, _seed(storage_path, environment))
        identity = LogIdentity(origin, 1, signer.vkey)
        _write_new(folder / IDENTITY_NAME, _encoded(identity))
    except OSError as error:
        raise StoreError(
            f"cannot write in {folder}: {error.strerror}", remedy="Run as the daemon's user, or give it the folder."
        ) from error
    return identity, signer


def load_identity(storage_path: Path, environment: Mapping[str, str] = os.environ) -> tuple[LogIdentity, SeedSigner]:
    """Return the gateway's log identity and its signer.

    Args:
        storage_path: the daemon's storage folder.
        environment: `$CREDENTIALS_DIRECTORY/journal-key` is taken before `<storage_path>/keys/journal-key`.

    Raises:
        StoreError: not initialised, the key is missing, readable by others, malformed, or not the identity's.
    """
    path = storage_path / "keys" / IDENTITY_NAME
    try:
        with path.open("rb") as file:
            identity = msgspec.json.decode(file.read(16384), type=LogIdentity)
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing", remedy="Run `gatewayd init` first.") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(f"{path} cannot be read: {error}", remedy="Restore it from a backup.") from error
    try:
        signer = SeedSigner(identity.origin, _seed(storage_path, environment))
    except NoteError as error:
        raise StoreError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error
    if signer.vkey != identity.vkey:
        raise StoreError(
            f"the journal key is not the one of {path}", remedy="Give the gateway back its key; it cannot be replaced."
        )
    return identity, signer


def signer_of(origin: str, storage_path: Path, environment: Mapping[str, str] = os.environ) -> SeedSigner:
    """Return the signer that the gateway's key gives under a log's name.

    Raises:
        StoreError: as `load_identity`.
    """
    return SeedSigner(origin, _seed(storage_path, environment))


def replace_identity(storage_path: Path, identity: LogIdentity) -> None:
    """Put another identity in the place of the one that is there; after a power cut it is the old or the new one.

    Raises:
        StoreError: the folder cannot be written.
    """
    replace_file(storage_path / "keys" / IDENTITY_NAME, _encoded(identity))


def replace_file(path: Path, content: bytes) -> None:
    """Put another content, mode 0600, in the place of a file's; after a power cut it is the old or the new one.

    Raises:
        StoreError: the folder cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        _write_new(new, content)
        new.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"cannot write in {path.parent}: {error.strerror}",
            remedy="Give the folder to the daemon's user; free some disk.",
        ) from error


def _encoded(identity: LogIdentity) -> bytes:
    return msgspec.json.format(msgspec.json.encode(identity)) + b"\n"


def _credential(environment: Mapping[str, str]) -> Path | None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / KEY_NAME if folder else None
    return path if path is not None and path.exists() else None


def _seed(storage_path: Path, environment: Mapping[str, str]) -> bytes:
    """Return the 32 bytes of the key; they may stand as they are or as 64 hexadecimal digits."""
    delivered = _credential(environment)
    path = delivered or storage_path / "keys" / KEY_NAME
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(2 * KEY_SIZE + 2)
    except OSError as error:
        raise StoreError(
            f"cannot read the journal key {path}: {error.strerror}",
            remedy="Run `gatewayd init`, or check LoadCredential=journal-key in the unit.",
        ) from error
    if delivered is None and stat.S_IMODE(mode) & 0o077:
        raise StoreError(
            f"the journal key {path} can be read by others (mode {stat.S_IMODE(mode):04o})",
            remedy=f"chmod 600 {path}; if others may have read it, begin a new epoch with a new key.",
        )
    return _decoded_seed(content, path)


def _decoded_seed(content: bytes, path: Path) -> bytes:
    if len(content) == KEY_SIZE:
        return content
    try:
        seed = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        seed = b""
    if len(seed) != KEY_SIZE:
        raise StoreError(
            f"the journal key {path} is not {KEY_SIZE} bytes or {2 * KEY_SIZE} hexadecimal digits",
            remedy="Restore the key that `gatewayd init` made.",
        )
    return seed


def _write_new(path: Path, content: bytes) -> None:
    """Create a file of mode 0600 that is on disk, name and all, when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)
