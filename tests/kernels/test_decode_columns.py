import random
import struct
from collections.abc import Iterator

from tests.kernels.decoded import ERROR_BOUNDS, LOST, TIMES, Sample, reference, tag_columns
from tests.kernels.harness import INT_MAX, INT_MIN, Columns, agree, canonical, numbers, refused

KERNEL = "decode_columns"


def samples(columns: Columns, payload: bytes, plans: range) -> Iterator[Sample]:
    for i in range(len(plans)):
        record = payload[24 * i : 24 * i + 24]
        if len(record) < 24:
            yield LOST
            continue
        value, status, source = struct.unpack("<dqq", record)
        if not 0 <= status < 2**32:
            yield LOST
            continue
        yield Sample(canonical(value), 0, status, source if abs(source) <= 2**62 else 0)


REFERENCE = reference(samples)


def test_a_record_without_a_source_time_is_dated_by_its_response() -> None:
    inbox = struct.pack("<dqqdqq", 1.5, 0, 0, -2.5, 0x40900000, 12345)
    given = {"plan.row": [1, 0]} | tag_columns(random.Random(1), 2) | {"inbox.byte": list(inbox)}
    span = {"at": 0, "size": len(inbox), "first": 0, "count": 2, "fresh_count": 0, "pass_number": 9}
    _, after = agree(KERNEL, given, REFERENCE, **span, **TIMES)
    assert after["tag.value"] == [-2.5, 1.5]
    assert after["tag.source_time"] == [12345, 0]
    assert after["tag.event_time"] == [12345, TIMES["response_mono"]]


def test_random_records_short_and_adversarial() -> None:
    rng = random.Random(13)
    for _ in range(150):
        tags, plans = rng.randint(1, 9), rng.randint(0, 12)
        inbox = bytearray()
        for value in numbers(rng, rng.randint(0, 14)):
            status = rng.choice((0, 0, 0x80070000, 2**32 - 1, 2**32, -1, INT_MIN))
            inbox += struct.pack("<dqq", value, status, rng.choice((0, 1, -5, 2**62, 2**62 + 1, INT_MAX, INT_MIN)))
        inbox += bytes(rng.randrange(256) for _ in range(rng.randint(0, 30)))
        at = rng.choice((0, min(24, len(inbox)), len(inbox)))
        given = {"plan.row": [rng.randrange(tags) for _ in range(plans)]} | tag_columns(rng, tags)
        first = rng.randint(0, plans)
        span = {
            "at": at,
            "size": rng.randint(0, len(inbox) - at),
            "first": first,
            "count": rng.randint(0, plans - first),
        }
        given |= {"inbox.byte": list(inbox)}
        agree(KERNEL, given, REFERENCE, **span, fresh_count=0, pass_number=4, **TIMES)


def test_ranges_and_rows_outside_their_buffers_are_refused() -> None:
    given = {"plan.row": [0]} | tag_columns(random.Random(3), 1) | {"inbox.byte": [0] * 24}
    good = {"at": 0, "size": 24, "first": 0, "count": 1, "fresh_count": 0, "pass_number": 9} | TIMES
    for name, number in (("at", 1), ("size", 25), ("first", 1), ("count", 2), ("count", -1), ("fresh_count", 1)):
        assert refused(KERNEL, given, **(good | {name: number})) == {ERROR_BOUNDS}, (name, number)
    assert refused(KERNEL, given | {"plan.row": [-1]}, **good) == {ERROR_BOUNDS}
