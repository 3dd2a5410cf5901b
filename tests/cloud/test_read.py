"""The check that the demo and the kill test believe must see what is wrong."""

from __future__ import annotations

import pytest
from deltalake import write_deltalake

from gatewayd.cloud.ledger import Run
from gatewayd.cloud.read import check_table, read_table
from gatewayd.cloud.table import JournalTable
from gatewayd.errors import StoreError

KEY = ("gw", "journal", 1)


def force(folder, first: int, count: int) -> None:
    """Put rows into the table past every guard."""
    table = JournalTable(folder)
    write_deltalake(table._table, table._rows([Run(KEY, first, [b"x"] * count)], 0), mode="append")


def test_an_empty_table_is_exact(tmp_path):
    JournalTable(tmp_path)
    report = check_table(tmp_path)
    assert (report.rows, report.streams, report.is_exact) == (0, (), True)


def test_a_doubled_row_is_seen(tmp_path):
    force(tmp_path, 0, 5)
    force(tmp_path, 3, 1)
    report = check_table(tmp_path)
    assert (report.rows, report.duplicates, report.gaps, report.is_exact) == (6, 1, 0, False)


@pytest.mark.parametrize(("first", "gaps"), [(7, 2), (5, 0)])
def test_a_missing_row_in_the_middle_is_seen(tmp_path, first, gaps):
    force(tmp_path, 0, 5)
    force(tmp_path, first, 2)
    assert (check_table(tmp_path).gaps, check_table(tmp_path).is_exact) == (gaps, gaps == 0)


def test_a_missing_first_row_is_seen(tmp_path):
    force(tmp_path, 1, 5)
    assert check_table(tmp_path).gaps == 1


def test_a_folder_without_a_table_is_an_error_with_a_remedy(tmp_path):
    for read in (read_table, check_table):
        with pytest.raises(StoreError) as refusal:
            read(tmp_path)
        assert "collect" in refusal.value.remedy
