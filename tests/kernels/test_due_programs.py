import random

from tests.kernels.harness import Columns, agree, refused, rows_of


def reference(columns: Columns, fresh_count: int, program_count: int, now_mono: int, pass_number: int) -> int:
    wanted = []
    for row in columns["fresh.row"][:fresh_count]:
        first, count = columns["tag.dependency_first"][row], columns["tag.dependency_count"][row]
        wanted += columns["dependency.program"][first : first + count]
    wanted += [p for p in range(program_count) if 0 != columns["program.deadline"][p] <= now_mono]
    listed = [p for p in dict.fromkeys(wanted) if columns["program.mark"][p] != pass_number]
    for place, p in enumerate(listed):
        columns["program.mark"][p] = pass_number
        columns["due.program"][place] = p
    return len(listed)


def test_readers_of_fresh_rows_come_first_then_those_whose_time_has_come_each_once() -> None:
    given = {
        "fresh.row": [1, 0],
        "tag.dependency_first": [0, 1],
        "tag.dependency_count": [2, 2],
        "dependency.program": [3, 1, 2],
        "program.deadline": [100, 50, 0, 101],
        "program.mark": [0] * 4,
        "due.program": [-1] * 4,
    }
    result, after = agree("due_programs", given, reference, fresh_count=2, program_count=4, now_mono=100, pass_number=5)
    assert (result, after["due.program"]) == (4, [1, 2, 3, 0])


def test_random_tables() -> None:
    rng = random.Random(34)
    for _ in range(100):
        tags, programs, edges = rng.randint(0, 12), rng.randint(1, 8), rng.randint(0, 20)
        first = [rng.randint(0, edges) for _ in range(tags)]
        given = {
            "fresh.row": rows_of(rng, tags),
            "tag.dependency_first": first,
            "tag.dependency_count": [rng.randint(0, min(4, edges - f)) for f in first],
            "dependency.program": [rng.randrange(programs) for _ in range(edges)],
            "program.deadline": [rng.choice((0, 5, 10, 11)) for _ in range(programs)],
            "program.mark": [rng.choice((6, 6, 7)) for _ in range(programs)],
            "due.program": [-1] * programs,
        }
        fresh = len(given["fresh.row"])
        agree("due_programs", given, reference, fresh_count=fresh, program_count=programs, now_mono=10, pass_number=7)


def test_rows_runs_and_programs_outside_their_tables_are_refused() -> None:
    given = {
        "fresh.row": [0],
        "tag.dependency_first": [0],
        "tag.dependency_count": [1],
        "dependency.program": [0],
        "program.deadline": [0],
        "due.program": [0],
    }
    good = {"fresh_count": 1, "program_count": 1, "now_mono": 1, "pass_number": 1}
    assert refused("due_programs", given, **good) == {1}
    wrong = {
        "fresh.row": (1, -1),
        "tag.dependency_first": (1, -1, 2**63 - 1),
        "tag.dependency_count": (2, -1, 2**63 - 1),
    }
    for name, cells in (wrong | {"dependency.program": (1, -1)}).items():
        for cell in cells:
            assert refused("due_programs", given | {name: [cell]}, **good) == {-1}, (name, cell)
    for name, number in (("fresh_count", 2), ("fresh_count", -1), ("program_count", 2), ("program_count", -1)):
        assert refused("due_programs", given, **(good | {name: number})) == {-1}
    assert refused("due_programs", given | {"due.program": []}, **good) == {-1}
