"""The log's Ed25519 key and the gateway's name for its log."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.proof.note import KEY_SIZE, NoteError, SeedSigner, VerifierKey
from gatewayd.store.disk import sync_folder

KEY_NAME = "journal-key"
NEXT_KEY_NAME = "journal-key.next"  # of a file; dots are not for credentials
NEXT_CREDENTIAL = "journal-key-next"
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
    except (OSError, *UNDECODABLE) as error:
        raise StoreError(f"{path} cannot be read: {error}", remedy="Restore it from a backup.") from error
    try:
        wanted = VerifierKey.parse(identity.vkey).public
        signer = _signer_with(identity.origin, wanted, storage_path, environment)
    except NoteError as error:
        raise StoreError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error
    if signer is None or signer.vkey != identity.vkey:
        raise StoreError(
            f"the journal key is not the one of {path}", remedy="Give the gateway back its key; it cannot be replaced."
        )
    return identity, signer


def _signer_with(origin: str, public: bytes, storage_path: Path, environment: Mapping[str, str]) -> SeedSigner | None:
    """Return a signer whose key has this public half: the key itself, or the next one after a rotation that was cut."""
    signer = SeedSigner(origin, _seed(storage_path, environment))
    for found in (signer, next_signer(origin, storage_path, environment)):
        if found is not None and VerifierKey.parse(found.vkey).public == public:
            return found
    return None


def signer_of(
    origin: str, log: LogIdentity, storage_path: Path, environment: Mapping[str, str] = os.environ
) -> SeedSigner:
    """Return the signer that the key of a gateway's log gives under another log's name.

    Raises:
        StoreError: as `load_identity`.
    """
    signer = _signer_with(origin, VerifierKey.parse(log.vkey).public, storage_path, environment)
    if signer is None:
        raise StoreError(f"the journal key is not the one of {log.origin}", remedy="Give the gateway back its key.")
    return signer


def next_signer(origin: str, storage_path: Path, environment: Mapping[str, str] = os.environ) -> SeedSigner | None:
    """Return the signer with the key that the log shall be handed over to, or was just; None if there is none.

    Args:
        origin: the log's name.
        storage_path: the daemon's storage folder.
        environment: `$CREDENTIALS_DIRECTORY/journal-key-next` is taken before `<storage_path>/keys/journal-key.next`.

    Raises:
        StoreError: it is readable by others, or malformed.
    """
    path = storage_path / "keys" / NEXT_KEY_NAME
    delivered = _credential(environment, NEXT_CREDENTIAL)
    if delivered is None and not path.exists():
        return None
    return SeedSigner(origin, _seed_in(delivered or path, is_delivered=delivered is not None))


def create_next_key(log: LogIdentity, storage_path: Path, environment: Mapping[str, str] = os.environ) -> SeedSigner:
    """Return the signer with the next key, durable; made here unless systemd delivers the keys.

    Raises:
        StoreError: systemd delivers the key but no next one, or the folder cannot be written.
    """
    folder = storage_path / "keys"
    found = next_signer(log.origin, storage_path, environment)
    if found is not None and found.vkey != log.vkey:
        return found
    if _credential(environment) is not None:
        raise StoreError(
            "systemd delivers the journal key, so the next one must come from there, too",
            remedy="Make 32 random bytes a credential, add LoadCredentialEncrypted=journal-key-next:FILE to the unit, "
            "restart, and run `gatewayd journal rotate-key` again.",
        )
    try:
        (folder / NEXT_KEY_NAME).unlink(missing_ok=True)
        _write_new(folder / NEXT_KEY_NAME, os.urandom(KEY_SIZE))
    except OSError as error:
        raise _unwritable(folder, error) from error
    return SeedSigner(log.origin, _seed_in(folder / NEXT_KEY_NAME, is_delivered=False))


def settle_keys(
    log: LogIdentity, vkey: str, storage_path: Path, environment: Mapping[str, str] = os.environ
) -> LogIdentity:
    """Make the key that the log was handed over to the gateway's only one; the old seed is overwritten and gone.

    Args:
        log: the identity as it stands.
        vkey: of the key in force. Where it is the identity's and there is no next key, nothing happens.
        storage_path: the daemon's storage folder.
        environment: what systemd delivers, it also takes away: see `left_to_the_administrator`.

    Raises:
        StoreError: the folder cannot be written.
    """
    settled = msgspec.structs.replace(log, vkey=vkey)
    if settled != log:
        replace_identity(storage_path, settled)
    folder = storage_path / "keys"
    found = next_signer(log.origin, storage_path, environment)
    if found is None or found.vkey != vkey or _credential(environment, NEXT_CREDENTIAL) is not None:
        return settled
    try:
        _replace_and_wipe(folder / KEY_NAME, folder / NEXT_KEY_NAME)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return settled


def left_to_the_administrator(environment: Mapping[str, str] = os.environ) -> str:
    """Return what is to be done by hand after a rotation, empty = nothing."""
    if _credential(environment, NEXT_CREDENTIAL) is None:
        return ""
    return (
        "Now make the credential journal-key-next the credential journal-key, remove journal-key-next from the unit, "
        "and destroy the old key: until then whoever is root here can still sign with it."
    )


def _replace_and_wipe(old: Path, new: Path) -> None:
    """Put a file in the place of another one, of whose bytes as little stays as the disk allows.

    A flash disk may keep the old block until it needs it; nothing that a program can do reaches there.
    """
    with old.open("r+b") as file:
        new.rename(old)
        sync_folder(old.parent)
        file.write(bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())


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
        raise _unwritable(path.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write in {folder}: {error.strerror}", remedy="Give the folder to the daemon's user; free some disk."
    )


def _encoded(identity: LogIdentity) -> bytes:
    return msgspec.json.format(msgspec.json.encode(identity)) + b"\n"


def _credential(environment: Mapping[str, str], name: str = KEY_NAME) -> Path | None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.exists() else None


def _seed(storage_path: Path, environment: Mapping[str, str]) -> bytes:
    """Return the 32 bytes of the key; they may stand as they are or as 64 hexadecimal digits."""
    delivered = _credential(environment)
    return _seed_in(delivered or storage_path / "keys" / KEY_NAME, is_delivered=delivered is not None)


def _seed_in(path: Path, *, is_delivered: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(2 * KEY_SIZE + 2)
    except OSError as error:
        raise StoreError(
            f"cannot read the journal key {path}: {error.strerror}",
            remedy="Run `gatewayd init`, or check LoadCredential=journal-key in the unit.",
        ) from error
    if not is_delivered and stat.S_IMODE(mode) & 0o077:
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
