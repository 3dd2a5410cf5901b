import random

from kernels.order import sort


def test_it_sorts_the_first_cells_and_leaves_the_rest() -> None:
    rng = random.Random(1)
    for n in [0, 1, 2, 3, 4, 5, 17, 100, 257]:
        cells = [rng.choice((rng.gauss(0.0, 1e6), 0.0, 1.0, 1.0)) for _ in range(n)]
        order = [*cells, -1e9, 5.0]
        sort(order, n)
        assert order == [*sorted(cells), -1e9, 5.0]
