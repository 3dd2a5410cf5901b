"""C2SP signed notes and tlog checkpoints, Ed25519 (signature type 0x01)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from gatewayd.errors import GatewayError
from gatewayd.proof.merkle import HASH_SIZE

ED25519 = 0x01
KEY_SIZE = 32
SIGNATURE_SIZE = 64
NOTE_BYTES_MAX = 1_000_000
SIGNATURES_MAX = 100
SIGNATURE_LINE = "\N{EM DASH} "


class NoteError(GatewayError):
    """A note, checkpoint or verifier key is malformed, or no trusted key signed it."""

    exit_code = 6


class Signer(Protocol):
    """Whoever holds a log's private key: a file, a TPM."""

    @property
    def name(self) -> str:
        """Return the key's name, which is the log's origin."""
        ...

    @property
    def vkey(self) -> str:
        """Return the verifier key in text form."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `message`."""
        ...


class SeedSigner:
    """A Signer over a 32-byte Ed25519 seed in memory."""

    def __init__(self, name: str, seed: bytes) -> None:
        self.name = checked_name(name)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.vkey = VerifierKey(name, self._key.public_key().public_bytes_raw()).text()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `message`."""
        return self._key.sign(message)


class VerifierKey(Struct, frozen=True):
    """A public key with its name."""

    name: str
    public: bytes  # 32 bytes

    @property
    def key_hash(self) -> bytes:
        """Return the 4 bytes that stand before each of this key's signatures."""
        return sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:4]

    def text(self) -> str:
        """Return `name+hash+base64(type || key)`."""
        return f"{self.name}+{self.key_hash.hex()}+{b64encode(bytes([ED25519]) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a verifier key.

        Raises:
            NoteError: the text is no Ed25519 verifier key, or its hash does not match its key.
        """
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise bad_note(f"verifier key {text!r} is not of the form name+hash+key")
        name, hash_hex, encoded = parts
        key = canonical_base64(encoded)
        if len(key) != 1 + KEY_SIZE or key[0] != ED25519:
            raise bad_note(f"verifier key {text!r} is not an Ed25519 key")
        parsed = cls(checked_name(name), key[1:])
        if parsed.key_hash.hex() != hash_hex:
            raise bad_note(f"verifier key {text!r} has the hash {hash_hex}, its key gives {parsed.key_hash.hex()}")
        return parsed

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Say whether `signature` is this key's signature of `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def sign_note(text: str, signers: Sequence[Signer]) -> str:
    """Return the note: `text`, an empty line, one signature line per signer.

    Args:
        text: ends with a newline and holds no other control characters than newlines.
        signers: the keys to sign with, at least one.
    """
    assert text.endswith("\n"), "a note's text ends with a newline"
    assert signers, "a note has a signature"
    lines = [_signature_line(signer, text.encode()) for signer in signers]
    return text + "\n" + "".join(lines)


def _signature_line(signer: Signer, message: bytes) -> str:
    key_hash = VerifierKey.parse(signer.vkey).key_hash
    return f"{SIGNATURE_LINE}{signer.name} {b64encode(key_hash + signer.sign(message)).decode()}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """Return the text of a note that `key` signed. Signatures of other keys are passed over.

    Raises:
        NoteError: malformed, too long, not signed by `key`, or signed wrongly in its name.
    """
    text, lines = split_note(note)
    signatures = [signature for line in lines if (signature := signature_by(line, key)) is not None]
    if not signatures:
        raise bad_note(f"the note is not signed by {key.name}")
    if not all(key.verifies(text.encode(), signature) for signature in signatures):
        raise bad_note(f"the signature of {key.name} does not fit the note")
    return text


def split_note(note: str) -> tuple[str, list[str]]:
    """Return a note's text, its last newline included, and its signature lines without theirs.

    Raises:
        NoteError: malformed or too long; no signature is looked at.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise bad_note(f"a note of {len(note)} characters is longer than {NOTE_BYTES_MAX}")
    text, separator, block = note.rpartition("\n\n")
    if not separator or not block.endswith("\n"):
        raise bad_note("the note has no signatures")
    lines = block[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise bad_note(f"the note has {len(lines)} signatures, more than {SIGNATURES_MAX}")
    return text + "\n", lines


class NamedKey(Protocol):
    """What stands before each signature of a key, whatever its type."""

    @property
    def name(self) -> str:
        """Return the key's name."""
        ...

    @property
    def key_hash(self) -> bytes:
        """Return its 4 bytes."""
        ...


def signature_by(line: str, key: NamedKey) -> bytes | None:
    """Return the signature on a line if it is in the name and with the hash of `key`.

    Raises:
        NoteError: it is no signature line.
    """
    name, _, encoded = line.removeprefix(SIGNATURE_LINE).partition(" ")
    if not line.startswith(SIGNATURE_LINE) or not name or not encoded:
        raise bad_note(f"{line!r} is not a signature line")
    signature = canonical_base64(encoded)
    if name != key.name or signature[:4] != key.key_hash:
        return None
    return signature[4:]


class Checkpoint(Struct, frozen=True):
    """What a log commits to: its origin, its size and its root hash."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a checkpoint; extension lines are passed over.

        Raises:
            NoteError: it is not a checkpoint.
        """
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or lines[-1]:
            raise bad_note("the note is not a checkpoint")
        origin, size, root = lines[0], lines[1], canonical_base64(lines[2])
        is_canonical = size.isascii() and size.isdigit() and (size == "0" or size[0] != "0")
        if not is_canonical or len(size) > 20 or len(root) != HASH_SIZE:
            raise bad_note(f"the checkpoint of {origin} has a malformed size or root")
        return cls(origin, int(size), root)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """Return the checkpoint as a signed note. Its leaves must be durable before this is called."""
    return sign_note(checkpoint.text(), [signer])


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Return the checkpoint of a note that `key` signed.

    Raises:
        NoteError: malformed, not signed by `key`, or of another origin than the key's name.
    """
    checkpoint = Checkpoint.parse(open_note(note, key))
    if checkpoint.origin != key.name:
        raise bad_note(f"the checkpoint is of {checkpoint.origin}, the key of {key.name}")
    return checkpoint


def checked_name(name: str) -> str:
    """Return a key's name.

    Raises:
        NoteError: no key may be called so.
    """
    if not name or len(name) > 200 or any(char.isspace() or char == "+" for char in name):
        raise bad_note(f"key name {name!r} is empty, too long or holds spaces or '+'")
    return name


def canonical_base64(text: str) -> bytes:
    """Return the bytes of the one text that stands for them: no two notes mean the same.

    Raises:
        NoteError: it is another text.
    """
    try:
        decoded = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_note(f"{text[:80]!r} is not base64") from error
    if b64encode(decoded).decode() != text:
        raise bad_note(f"{text[:80]!r} is not base64 in its one form: bits beyond its last byte are set")
    return decoded


def bad_note(message: str) -> NoteError:
    """Return the error for something that is no note, key or signature of this log."""
    return NoteError(
        message, remedy="Check that the file and the verifier key belong to this log and were not altered."
    )
