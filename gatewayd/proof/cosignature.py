"""C2SP tlog-cosignature (Ed25519, signature type 0x04) and the core of a C2SP tlog-witness.

A cosignature says: at this time the largest tree of this log that I have seen is this one, and it grew out of every one
before. A mirror says besides that it holds the records. A log cannot take back what somebody else has cosigned.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from gatewayd.proof.merkle import EMPTY_ROOT, verify_consistency
from gatewayd.proof.note import (
    KEY_SIZE,
    SIGNATURE_LINE,
    SIGNATURE_SIZE,
    Checkpoint,
    NoteError,
    VerifierKey,
    bad_note,
    canonical_base64,
    checked_name,
    open_checkpoint,
    signature_by,
    split_note,
)

COSIGNATURE = 0x04
TIME_SIZE = 8
PROOF_HASHES_MAX = 63  # of a tlog-witness request

Status = Literal[200, 403, 404, 409, 422]


class CosignerKey(Struct, frozen=True):
    """The public key of a witness or mirror, with its name."""

    name: str
    public: bytes  # 32 bytes

    @property
    def key_hash(self) -> bytes:
        """Return the 4 bytes that stand before each of this key's cosignatures."""
        return sha256(self.name.encode() + b"\n" + bytes([COSIGNATURE]) + self.public).digest()[:4]

    def text(self) -> str:
        """Return `name+hash+base64(type || key)`."""
        return f"{self.name}+{self.key_hash.hex()}+{b64encode(bytes([COSIGNATURE]) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> CosignerKey:
        """Read a verifier key.

        Raises:
            NoteError: the text is no Ed25519 cosignature key, or its hash does not match its key.
        """
        name, hash_hex, encoded = [*text.strip().split("+", 2), "", ""][:3]
        key = canonical_base64(encoded)
        if len(key) != 1 + KEY_SIZE or key[0] != COSIGNATURE:
            raise bad_note(f"{text[:200]!r} is not the verifier key of a witness (name+hash+key, type 0x04)")
        parsed = cls(checked_name(name), key[1:])
        if parsed.key_hash.hex() != hash_hex:
            raise bad_note(f"verifier key {text[:200]!r} has another hash than its key gives")
        return parsed

    def verifies(self, text: str, time_s: int, signature: bytes) -> bool:
        """Say whether `signature` is this key's cosignature of a checkpoint's text at a time."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, _message(text, time_s))
        except InvalidSignature:
            return False
        return True


class Cosignature(NamedTuple):
    """One that verified.

    Args:
        cosigner: whose.
        time_s: POSIX seconds, by the cosigner's clock.
        line: as it stands in the note.
    """

    cosigner: CosignerKey
    time_s: int
    line: str


class Cosigner:
    """Signs checkpoints of others, with a 32-byte Ed25519 seed in memory."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = CosignerKey(checked_name(name), self._private.public_key().public_bytes_raw())

    def line(self, text: str, time_s: int) -> str:
        """Return the signature line, with its newline, that cosigns a checkpoint's text."""
        signature = self._private.sign(_message(text, time_s))
        signed = self.key.key_hash + time_s.to_bytes(TIME_SIZE, "big") + signature
        return f"{SIGNATURE_LINE}{self.key.name} {b64encode(signed).decode()}\n"


def cosignatures_of(note: str, keys: Sequence[CosignerKey]) -> tuple[Cosignature, ...]:
    """Return the cosignatures of these keys on a note, in the order of its lines; others are passed over.

    Raises:
        NoteError: malformed, or a line in the name of one of the keys does not verify.
    """
    text, lines = split_note(note)
    found: list[Cosignature] = []
    for line in lines:
        for key in keys:
            signed = signature_by(line, key)
            if signed is not None:
                found.append(Cosignature(key, _checked_time(text, key, signed), line))
    return tuple(found)


def _checked_time(text: str, key: CosignerKey, signed: bytes) -> int:
    time_s = int.from_bytes(signed[:TIME_SIZE], "big")
    if len(signed) != TIME_SIZE + SIGNATURE_SIZE or not key.verifies(text, time_s, signed[TIME_SIZE:]):
        raise bad_note(f"the cosignature of {key.name} does not fit the checkpoint")
    return time_s


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def add_checkpoint_body(old_size: int, proof: Sequence[bytes], note: str) -> str:
    """Return the body of a C2SP tlog-witness add-checkpoint request.

    Args:
        old_size: of the tree that the witness knows.
        proof: consistency of that tree with the one of the note.
        note: the signed checkpoint.
    """
    return f"old {old_size}\n" + "".join(f"{b64encode(node).decode()}\n" for node in proof) + f"\n{note}"


class Answer(NamedTuple):
    """What a witness answers, with the meaning that HTTP gives the status.

    Args:
        status: 200 cosigned, 403 not signed by the log, 404 log unknown, 409 another tree is known, 422 no growth.
        size: of the largest tree known of this log; with 409 the one to start from.
        line: the cosignature, with 200.
    """

    status: Status
    size: int = 0
    line: str = ""


class Witness:
    """Keeps the largest tree seen of each log and cosigns what provably grew out of it.

    Args:
        cosigner: signs.
        logs: the keys whose logs are witnessed: origin -> key.
        seen: what an earlier run knew: origin -> checkpoint.
        keep: makes a checkpoint durable before it is cosigned.
    """

    def __init__(
        self,
        cosigner: Cosigner,
        logs: Mapping[str, VerifierKey],
        *,
        seen: Mapping[str, Checkpoint] | None = None,
        keep: Callable[[Checkpoint], None] = lambda _: None,
    ) -> None:
        self._cosigner = cosigner
        self._logs = dict(logs)
        self._seen = dict(seen or {})
        self._keep = keep

    def trust(self, key: VerifierKey) -> None:
        """Take another key for the log that it names, as after a rotation."""
        self._logs[key.name] = key

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: str, *, time_s: int) -> Answer:
        """Answer a C2SP tlog-witness add-checkpoint request.

        Args:
            old_size: of the tree that the log believes to be known here, 0 = none.
            proof: that this tree is the beginning of the new one.
            note: the new checkpoint, signed by the log.
            time_s: now, POSIX seconds.
        """
        text, _ = split_note(note)
        origin = Checkpoint.parse(text).origin
        key = self._logs.get(origin)
        if key is None:
            return Answer(404)
        try:
            new = open_checkpoint(note, key)
        except NoteError:
            return Answer(403)
        known = self._seen.get(origin, Checkpoint(origin, 0, EMPTY_ROOT))
        if old_size != known.size or new.size < known.size or (new.size == known.size and new.root != known.root):
            return Answer(409, known.size)
        if len(proof) > PROOF_HASHES_MAX or not verify_consistency(known.size, new.size, proof, known.root, new.root):
            return Answer(422, known.size)
        self._keep(new)
        self._seen[origin] = new
        return Answer(200, new.size, self._cosigner.line(text, time_s))
