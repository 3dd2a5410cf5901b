"""The steps shared by the decoders, as plain Python; the compiled forms are covered through the decoders."""

import random
import struct
from array import array

from kernels import wire


def widened(bits: int) -> bytes:
    value = array("d", [0.0])
    wire.put_float32(bits, 0, value, memoryview(value).cast("B").cast("q"))
    return value.tobytes()


def test_every_exponent_of_a_float32_is_widened_exactly() -> None:
    rng = random.Random(41)
    for exponent in range(256):
        for mantissa in {0, 1, 0x400000, 0x7FFFFF, rng.getrandbits(23), 1 << rng.randrange(23)}:
            if exponent == 255 and mantissa:
                continue
            for sign in (0, 1 << 31):
                bits = sign | exponent << 23 | mantissa
                assert widened(bits) == struct.pack("<d", struct.unpack("<f", struct.pack("<I", bits))[0]), hex(bits)


def test_a_uint64_is_rounded_once_to_the_nearest_even() -> None:
    rng = random.Random(42)
    edges = [2**63, 2**64 - 1, 2**53 + 1, 2**63 + 1024, 2**63 + 1025, 2**63 + 3072, 2**64 - 1025, 2**64 - 1024]
    for number in edges + [rng.getrandbits(64) for _ in range(2000)]:
        value, bits = array("d", [0.0]), array("q", [0])
        wire.put_unsigned(number - 2**64 if number >= 2**63 else number, 0, value, bits)
        assert (value[0], bits[0] % 2**64) == (float(number), number)


def test_source_times_outside_any_clock_count_as_absent() -> None:
    assert [wire.checked_time(t) for t in (0, 2**62, 2**62 + 1, -(2**62), -(2**62) - 1)] == [0, 2**62, 0, -(2**62), 0]
    assert wire.time_of_ticks(116_444_736_000_000_000 + 15) == 1500
    assert wire.time_of_ticks(2**63 - 1) == wire.time_of_ticks(-(2**63)) == wire.time_of_ticks(0) == 0
