import random
from collections.abc import Iterator

from tests.kernels.decoded import ERROR_BOUNDS, LOST, TIMES, Sample, reference, tag_columns
from tests.kernels.harness import Columns, agree, refused

KERNEL = "decode_modbus_bits"


def samples(columns: Columns, payload: bytes, plans: range) -> Iterator[Sample]:
    lights = [int(digit) for byte in payload for digit in f"{byte:08b}"[::-1]]
    for i in plans:
        offset, bit = columns["plan.offset"][i], columns["plan.bit"][i]
        fits = 0 <= bit <= 7 and 0 <= offset < len(payload)
        sample = Sample(float(lights[offset * 8 + bit]), lights[offset * 8 + bit], 0, 0) if fits else LOST
        yield sample._replace(source=TIMES["response_time"], event=TIMES["response_mono"])


REFERENCE = reference(samples)


def test_the_first_coil_is_the_least_significant_bit() -> None:
    plan = {"plan.row": [0, 1, 2], "plan.offset": [0, 0, 1], "plan.bit": [0, 7, 2]}
    given = plan | tag_columns(random.Random(1), 3) | {"inbox.byte": [0x01, 0x04]}
    span = {"at": 0, "size": 2, "first": 0, "count": 3, "fresh_count": 0, "pass_number": 9}
    result, after = agree(KERNEL, given, REFERENCE, **span, **TIMES)
    assert (result, after["tag.value"], after["tag.bits"]) == (3, [1.0, 0.0, 1.0], [1, 0, 1])


def test_random_plans_over_random_payloads() -> None:
    rng = random.Random(12)
    for _ in range(150):
        tags, plans, inbox = rng.randint(1, 9), rng.randint(0, 20), rng.randint(0, 20)
        at = rng.randint(0, inbox)
        given = tag_columns(rng, tags) | {
            "inbox.byte": [rng.randrange(256) for _ in range(inbox)],
            "plan.row": [rng.randrange(tags) for _ in range(plans)],
            "plan.offset": [rng.choice((rng.randint(0, 12), -1, 2**63 - 1)) for _ in range(plans)],
            "plan.bit": [rng.randint(-2, 9) for _ in range(plans)],
        }
        first = rng.randint(0, plans)
        span = {"at": at, "size": rng.randint(0, inbox - at), "first": first, "count": rng.randint(0, plans - first)}
        agree(KERNEL, given, REFERENCE, **span, fresh_count=0, pass_number=4, **TIMES)


def test_ranges_and_rows_outside_their_buffers_are_refused() -> None:
    given = (
        {"plan.row": [0], "plan.offset": [0], "plan.bit": [0]} | tag_columns(random.Random(3), 1) | {"inbox.byte": [1]}
    )
    good = {"at": 0, "size": 1, "first": 0, "count": 1, "fresh_count": 0, "pass_number": 9} | TIMES
    for name, number in (("at", 1), ("size", 2), ("first", 1), ("count", 2), ("count", -1), ("fresh_count", 1)):
        assert refused(KERNEL, given, **(good | {name: number})) == {ERROR_BOUNDS}, (name, number)
    assert refused(KERNEL, given | {"plan.row": [1]}, **good) == {ERROR_BOUNDS}
