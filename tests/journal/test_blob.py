"""A configuration is kept small, whatever its size, and comes back as it was or not at all."""

from __future__ import annotations

from hashlib import sha256

import pytest
import zstandard

from gatewayd.errors import StoreError
from gatewayd.journal import blob


def test_a_large_site_is_kept_in_a_fraction_of_its_bytes_and_comes_back():
    content = b"".join(b'{"name":"tag_%d","type":"uint16","scale":1.0,"description":""},' % n for n in range(100_000))
    digest, packed = blob.pack(content)
    assert digest == sha256(content).digest()
    assert len(packed) < len(content) / 8
    assert blob.unpack(packed, digest) == content


def test_what_an_earlier_version_kept_plain_is_still_read():
    assert blob.unpack(b"{}", sha256(b"{}").digest()) == b"{}"


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_no_flipped_bit_is_served(at):
    digest, packed = blob.pack(b"configuration " * 40)
    changed = bytearray(packed)
    changed[at % len(packed)] ^= 1
    with pytest.raises(ValueError, match=r"."):
        assert blob.unpack(bytes(changed), digest) == b"never served"


def test_bytes_that_claim_to_be_enormous_are_not_unpacked():
    parameters = zstandard.ZstdCompressionParameters.from_level(1)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(blob.PLAIN_BYTES_MAX + 1))
    with pytest.raises(ValueError, match="claim"):
        blob.unpack(frame, b"")


def test_a_configuration_beyond_every_bound_is_refused_in_words():
    with pytest.raises(StoreError, match="too large"):
        blob.pack(bytes(blob.PLAIN_BYTES_MAX + 1))
