"""A reader cannot tell what is in the tables from what is durable ahead of them."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from gatewayd.store.env import Store
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Batch

KEYS = st.lists(st.integers(0, 3), min_size=1, max_size=2).map(bytes)
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)), max_size=6)
STEPS = st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store.open(tmp_path_factory.mktemp("transaction") / "store", 16 << 20)
    yield store
    store.close()


def gathered(changes) -> Batch:
    batch = Batch()
    for key, value in changes:
        if value is None:
            batch.delete(Table.SAVE, key)
        else:
            batch.put(Table.SAVE, key, value)
    return batch


def empty(store: Store) -> None:
    rows = store.read(lambda r: r.scan(Table.SAVE, limit=1000))
    store.write(lambda writing: [writing.delete(Table.SAVE, key) for key, _ in rows])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.binary(max_size=2), st.binary(max_size=2), st.integers(0, 5))
def test_reads_over_rows_ahead_are_those_of_one_sorted_table(store, steps, low, high, limit):
    """Any mixture of batches ahead and in the tables, against a dict."""
    empty(store)
    model: dict[bytes, bytes] = {}
    for changes, is_settled in steps:
        store.write_ahead(gathered(changes))
        if is_settled:
            store.settle()
        for key, value in changes:
            model.pop(key, None)
            if value is not None:
                model[key] = value
    rows = sorted(model.items())
    between = [row for row in rows if low <= row[0] < high]
    assert store.read(lambda r: r.scan(Table.SAVE, limit=1000)) == rows
    assert store.read(lambda r: r.scan(Table.SAVE, first=low, below=high, limit=limit)) == between[:limit]
    assert store.read(lambda r: r.scan_back(Table.SAVE, limit=limit)) == rows[::-1][:limit]
    assert store.read(lambda r: r.scan_back(Table.SAVE, floor=low, below=high, limit=limit)) == between[::-1][:limit]
    assert store.read(lambda r: r.count(Table.SAVE)) == len(rows)
    assert all(store.get(Table.SAVE, key) == value for key, value in rows)


def test_the_size_of_a_batch_is_that_of_its_keys_and_values():
    batch = gathered([(b"ab", b"123"), (b"c", None)])
    assert batch.size == 6
    assert batch.changes == [(Table.SAVE, b"ab", b"123"), (Table.SAVE, b"c", None)]
