"""Signed notes and checkpoints, by the C2SP texts; the Go documentation's own note is one of the vectors."""

from __future__ import annotations

import pytest

from gatewayd.proof.note import (
    Checkpoint,
    NoteError,
    SeedSigner,
    VerifierKey,
    open_checkpoint,
    open_note,
    sign_checkpoint,
    sign_note,
)

GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT + "\n\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ORIGIN = "acme.example/gw-1/e1"


@pytest.fixture
def signer() -> SeedSigner:
    return SeedSigner(ORIGIN, bytes(range(32)))


@pytest.fixture
def key(signer: SeedSigner) -> VerifierKey:
    return VerifierKey.parse(signer.vkey)


def test_the_note_of_gos_documentation_opens():
    assert open_note(GO_NOTE, VerifierKey.parse(GO_VKEY)) == GO_TEXT
    assert VerifierKey.parse(GO_VKEY).text() == GO_VKEY


def test_a_checkpoint_comes_back_as_it_was_signed(signer, key):
    checkpoint = Checkpoint(ORIGIN, 42, bytes(32))
    note = sign_checkpoint(checkpoint, signer)
    assert note.startswith(f"{ORIGIN}\n42\n{'A' * 43}=\n\n\N{EM DASH} {ORIGIN} ")
    assert open_checkpoint(note, key) == checkpoint


def test_signatures_of_strangers_are_passed_over(signer, key):
    stranger = SeedSigner("witness.example", bytes(32))
    note = sign_note(Checkpoint(ORIGIN, 1, bytes(32)).text(), [stranger, signer])
    assert open_checkpoint(note, key).size == 1
    alone = sign_note(Checkpoint(ORIGIN, 1, bytes(32)).text(), [stranger])
    with pytest.raises(NoteError, match="not signed by"):
        open_checkpoint(alone, key)


def test_no_single_changed_character_gets_through(signer, key):
    """Every character of text and signature, changed in turn."""
    note = sign_checkpoint(Checkpoint(ORIGIN, 42, bytes(range(32))), signer)
    good = open_checkpoint(note, key)
    for at, char in enumerate(note):
        changed = note[:at] + ("B" if char != "B" else "C") + note[at + 1 :]
        try:
            opened = open_checkpoint(changed, key)
        except NoteError:
            continue
        pytest.fail(f"character {at} changed {char!r}, still opened as {opened} (was {good})")


@pytest.mark.parametrize(
    "note",
    ["", "text\n", "\n\n", "a\n1\n\n", "a\n\n\N{EM DASH} x\n", "a\n\n\N{EM DASH} x !!!!\n", "a\n\nx y AAAA\n"],
)
def test_malformed_notes_are_refused_with_a_remedy(note, key):
    with pytest.raises(NoteError) as caught:
        open_checkpoint(note, key)
    assert caught.value.remedy


@pytest.mark.parametrize("size", ["-1", "01", "+1", "1.0", "", "\u0661", "9" * 30])
def test_a_checkpoint_size_is_canonical_decimal(size, signer, key):
    note = sign_note(f"{ORIGIN}\n{size}\n{'A' * 43}=\n", [signer])
    with pytest.raises(NoteError):
        open_checkpoint(note, key)


def test_extension_lines_are_allowed(signer, key):
    note = sign_note(Checkpoint(ORIGIN, 7, bytes(32)).text() + "extension 1\n", [signer])
    assert open_checkpoint(note, key).size == 7


def test_a_checkpoint_of_another_log_is_refused(signer, key):
    note = sign_checkpoint(Checkpoint("other.example", 1, bytes(32)), signer)
    with pytest.raises(NoteError, match=r"other\.example"):
        open_checkpoint(note, key)


@pytest.mark.parametrize("vkey", ["", "a+b", "a+00000000+AQ==", GO_VKEY.replace("c74f20a3", "c74f20a4"), "a b+0+AA=="])
def test_malformed_verifier_keys_are_refused(vkey):
    with pytest.raises(NoteError):
        VerifierKey.parse(vkey)


def test_an_endless_note_is_refused_before_it_is_read(key):
    with pytest.raises(NoteError, match="longer than"):
        open_note("x" * 2_000_000, key)
    with pytest.raises(NoteError, match="signatures"):
        open_note("x\n\n" + "\N{EM DASH} a AAAA\n" * 200, key)


def test_bits_beyond_the_signature_are_not_passed_over(signer, key):
    """68 bytes leave two bits of their last character unused: both texts would decode to the same signature."""
    note = sign_checkpoint(Checkpoint(ORIGIN, 42, bytes(32)), signer)
    last = note[-3]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = note[:-3] + alphabet[alphabet.index(last) ^ 1] + note[-2:]
    with pytest.raises(NoteError, match="one form"):
        open_checkpoint(twin, key)
