import random

from tests.kernels.harness import Columns, agree, refused


def reference(columns: Columns, first: int, count: int, response_mono: int) -> int:
    for row in columns["plan.row"][first : first + count]:
        columns["tag.confirmed_mono"][row] = max(columns["tag.confirmed_mono"][row], response_mono)
    return count


def test_the_rows_of_the_plan_are_confirmed_and_no_other() -> None:
    given = {"plan.row": [3, 0, 2], "tag.confirmed_mono": [5, 5, 99, 0]}
    result, after = agree("confirm", given, reference, first=1, count=2, response_mono=50)
    assert (result, after["tag.confirmed_mono"]) == (2, [50, 5, 99, 0])


def test_random_plans() -> None:
    rng = random.Random(5)
    for _ in range(30):
        tags = rng.randint(1, 9)
        given = {
            "plan.row": [rng.randrange(tags) for _ in range(9)],
            "tag.confirmed_mono": [rng.randrange(9) for _ in range(tags)],
        }
        first = rng.randint(0, 9)
        agree("confirm", given, reference, first=first, count=rng.randint(0, 9 - first), response_mono=rng.randrange(9))


def test_rows_outside_their_buffers_are_refused() -> None:
    given = {"plan.row": [0, 2], "tag.confirmed_mono": [0, 0]}
    for first, count in ((0, 3), (2, 1), (-1, 1), (0, -1), (1, 1)):
        assert refused("confirm", given, first=first, count=count, response_mono=1) == {-1}
