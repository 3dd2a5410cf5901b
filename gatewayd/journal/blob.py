"""Configurations as they are kept: compressed, under the SHA-256 of what they say."""

from __future__ import annotations

from hashlib import sha256

import zstandard

from gatewayd.errors import StoreError

PLAIN_BYTES_MAX = 64 << 20  # 65,536 tags written out with every default are half of it
COMPRESSION_LEVEL = 3
_MAGIC = b"\x28\xb5\x2f\xfd"  # of a zstd frame; a configuration kept plain begins otherwise


def pack(content: bytes) -> tuple[bytes, bytes]:
    """Return the digest and the stored form.

    Raises:
        StoreError: too large.
    """
    if len(content) > PLAIN_BYTES_MAX:
        raise StoreError(
            f"{len(content)} bytes of configuration are too large to keep (at most {PLAIN_BYTES_MAX})",
            remedy="Split the site over several gateways.",
        )
    return sha256(content).digest(), zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(content)


def unpack(packed: bytes, digest: bytes) -> bytes:
    """Return what `pack` was given. Earlier versions kept it plain.

    Raises:
        ValueError: it is not what was stored.
    """
    content = _decompressed(packed) if packed.startswith(_MAGIC) else packed
    if sha256(content).digest() != digest:
        raise ValueError("they do not have the hash under which they are kept")
    return content


def _decompressed(packed: bytes) -> bytes:
    try:
        claimed = zstandard.frame_content_size(packed)
        if not 0 <= claimed <= PLAIN_BYTES_MAX:
            raise ValueError(f"they claim to be {claimed} bytes")
        return zstandard.ZstdDecompressor(max_window_size=PLAIN_BYTES_MAX).decompress(packed)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
