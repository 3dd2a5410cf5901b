import random

from tests.kernels.harness import (
    ADVERSARIAL,
    INT_MAX,
    NAN,
    Columns,
    agree,
    canonical,
    numbers,
    refused,
    rows_of,
    statuses,
)


def reference(columns: Columns, fresh_count: int) -> int:
    scaled = 0
    for row in columns["fresh.row"][:fresh_count]:
        severity = ("good", "uncertain", "bad", "bad")[columns["tag.status"][row] >> 30]
        raw = columns["tag.value"][row]
        factor, offset = columns["tag.scale"][row], columns["tag.offset"][row]
        if severity != "bad" and raw == raw and (factor, offset) != (1.0, 0.0):
            columns["tag.value"][row] = canonical(raw * factor + offset)
            scaled += 1
    return scaled


def test_raw_counts_become_contract_units() -> None:
    given = {
        "fresh.row": [0, 1, 2, 3],
        "tag.value": [100.0, 100.0, 100.0, NAN],
        "tag.status": [0, 0x40900000, 0x80070000, 0],
        "tag.scale": [0.1] * 4,
        "tag.offset": [-10.0] * 4,
    }
    result, after = agree("scale", given, reference, fresh_count=4)
    assert (result, after["tag.value"][:3]) == (2, [0.0, 0.0, 100.0])


def test_no_fused_multiply_add_and_one_nan() -> None:
    """0.1 * 10 - 1 is 0 in two roundings, 5.55e-17 in one; infinity * 0 has another sign on another processor."""
    given = {
        "fresh.row": [0, 1],
        "tag.value": [0.1, float("inf")],
        "tag.status": [0, 0],
        "tag.scale": [10.0, 0.0],
        "tag.offset": [-1.0, 0.0],
    }
    _, after = agree("scale", given, reference, fresh_count=2)
    assert after["tag.value"][0] == 0.0


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(22)
    for _ in range(100):
        tags = rng.randint(0, 30)
        fresh = rows_of(rng, tags)
        given = {
            "fresh.row": fresh,
            "tag.value": numbers(rng, tags),
            "tag.status": statuses(rng, tags),
            "tag.scale": [rng.choice((1.0, 0.1, -2.5, *ADVERSARIAL)) for _ in range(tags)],
            "tag.offset": [rng.choice((0.0, -40.0, *ADVERSARIAL)) for _ in range(tags)],
        }
        agree("scale", given, reference, fresh_count=rng.randint(0, len(fresh)))


def test_rows_outside_the_tag_table_are_refused() -> None:
    for row in (-1, 1, INT_MAX):
        assert refused("scale", {"fresh.row": [row]}, {"tag": 1}, fresh_count=1) == {-1}
    assert refused("scale", {"fresh.row": [0]}, {"tag": 1}, fresh_count=2) == {-1}
    assert refused("scale", {"fresh.row": [0]}, {"tag": 1}, fresh_count=-1) == {-1}
