import math
import random

from kernels.table import CHECK_STUCK
from tests.kernels.harness import NAN, Columns, agree, numbers, refused, rows_of, statuses

SECOND = 1_000_000_000
STUCK = 0x808C0700


def reference(columns: Columns, *, checks: int, fresh_count: int, now: int) -> int:
    marked = 0
    for row in columns["fresh.row"][:fresh_count]:
        after = columns["tag.stuck_after"][row]
        if after <= 0 or columns["tag.status"][row] >> 30 != 0:
            continue
        value, mono = columns["tag.value"][row], columns["tag.ingest_mono"][row]
        place, since = columns["tag.stuck_value"][row], columns["tag.stuck_since"][row]
        not_started = since == 0 or math.isnan(place)
        if not_started or abs(value - place) > columns["tag.stuck_deadband"][row]:
            columns["tag.stuck_value"][row], columns["tag.stuck_since"][row] = value, mono
        elif mono >= since + after:
            columns["tag.status"][row] = STUCK
            marked += 1
    return marked


def follow(samples: list[tuple[float, int, int]], *, start: float = NAN, deadband: float = 0.5) -> list[int]:
    """Feed (value, second, status) sample by sample with 10 s allowed; return the status of each."""
    state: Columns = {"tag.stuck_value": [start], "tag.stuck_since": [0]}
    seen = []
    for value, second, status in samples:
        given = {"fresh.row": [0], "tag.value": [value], "tag.ingest_mono": [second * SECOND], "tag.status": [status]}
        given |= {"tag.stuck_after": [10 * SECOND], "tag.stuck_deadband": [deadband]} | state
        _, after = agree("judge", given, reference, checks=CHECK_STUCK, fresh_count=1, now=0)
        state = {name: after[name] for name in state}
        seen.append(after["tag.status"][0])
    return seen


def test_a_sensor_that_does_not_move_turns_bad_and_recovers_when_it_does() -> None:
    samples = [(20.0, 1, 0), (20.2, 5, 0), (19.8, 10, 0), (20.0, 11, 0), (20.0, 12, 0), (21.0, 13, 0), (21.0, 22, 0)]
    assert follow(samples) == [0, 0, 0, STUCK, STUCK, 0, 0]


def test_bad_samples_are_no_movement() -> None:
    assert follow([(20.0, 1, 0), (99.0, 6, 0x80070000), (20.0, 11, 0)]) == [0, 0x80070000, STUCK]


def test_a_fresh_state_starts_at_the_first_sample_whatever_it_was_preset_to() -> None:
    assert follow([(0.0, 50, 0), (0.0, 51, 0)], start=0.0) == [0, 0]


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(26)
    for _ in range(100):
        tags = rng.randint(0, 30)
        fresh = rows_of(rng, tags)
        given = {
            "fresh.row": fresh,
            "tag.value": numbers(rng, tags),
            "tag.ingest_mono": [rng.randint(1, 30) * SECOND for _ in range(tags)],
            "tag.stuck_after": [rng.choice((0, SECOND, 10 * SECOND)) for _ in range(tags)],
            "tag.stuck_deadband": [rng.choice((0.0, 5.0, math.inf)) for _ in range(tags)],
            "tag.status": statuses(rng, tags),
            "tag.stuck_value": numbers(rng, tags),
            "tag.stuck_since": [rng.choice((0, 1, 10)) * SECOND for _ in range(tags)],
        }
        agree("judge", given, reference, checks=CHECK_STUCK, fresh_count=len(fresh), now=0)


def test_rows_outside_the_tag_table_are_refused() -> None:
    assert refused("judge", {"fresh.row": [1]}, {"tag": 1}, checks=CHECK_STUCK, fresh_count=1, now=0) == {-1}
    assert refused("judge", {"fresh.row": [0]}, {"tag": 1}, checks=CHECK_STUCK, fresh_count=2, now=0) == {-1}
