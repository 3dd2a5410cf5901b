"""CSV recordings, in the ways that historians and people write them."""

from __future__ import annotations

import io
import math
from array import array

import pytest

from gatewayd.backtest.columns import SAMPLE, ColumnsFile, ColumnsWriter
from gatewayd.backtest.tables import Tables, table_paths
from gatewayd.errors import ConfigError

T0 = 1_714_564_800
NS = 1_000_000_000


def read(place, accepts=lambda name: True):
    """Return (seconds after T0, {name: (value, status)}) of every row, after a round through the packed form."""
    file = io.BytesIO()
    tables = Tables(table_paths(place), accepts)
    writer = ColumnsWriter(tables.names, file)
    tables.pack(writer)
    writer.finish()
    recording = ColumnsFile(file, "x")
    found = []
    for chunk in recording.chunks():
        at = 0
        for time_ns, shape in zip(array("q", chunk.times), array("q", chunk.shapes), strict=True):
            row = {}
            for column in recording.contents.shapes[shape]:
                value, status, source_ns = SAMPLE.unpack_from(chunk.payload, at)
                assert source_ns == time_ns
                row[recording.contents.names[column]] = (value, status)
                at += SAMPLE.size
            found.append(((time_ns - T0 * NS) / NS, row))
    return found


@pytest.fixture
def table(tmp_path):
    def write(text, name="x.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_the_first_column_is_the_time_and_an_empty_cell_is_no_sample(table):
    path = table(f"time,a,b\n{T0},1.5,2\n{T0 + 1},,3\n\n{T0 + 2},,\n{T0 + 3},true,off\n")

    assert read(path) == [
        (0.0, {"a": (1.5, 0), "b": (2.0, 0)}),
        (1.0, {"b": (3.0, 0)}),
        (3.0, {"a": (1.0, 0), "b": (0.0, 0)}),
    ]


def test_a_column_of_qualities_says_how_good_a_value_is(table):
    path = table(f"time,a,a:quality\n{T0},1,\n{T0 + 1},2,bad\n{T0 + 2},3,0x40930000\n{T0 + 3},,0x80050000\n")

    *good, (_, lost) = read(path)
    assert good == [(0.0, {"a": (1.0, 0)}), (1.0, {"a": (2.0, 0x80000000)}), (2.0, {"a": (3.0, 0x40930000)})]
    assert math.isnan(lost["a"][0])
    assert lost["a"][1] == 0x80050000


def test_spreadsheets_with_semicolons_write_commas_in_numbers(table):
    assert read(table(f"time;a;b\n{T0};1,5;2\n")) == [(0.0, {"a": (1.5, 0), "b": (2.0, 0)})]


def test_files_of_a_folder_are_merged_by_time_and_samples_of_one_time_share_a_row(table, tmp_path):
    table(f"time,a\n{T0},1\n{T0 + 2},2\n", "one.csv")
    table(f"time,b\n{T0},3\n{T0 + 1},4\n", "two.csv")

    assert read(tmp_path) == [
        (0.0, {"a": (1.0, 0), "b": (3.0, 0)}),
        (1.0, {"b": (4.0, 0)}),
        (2.0, {"a": (2.0, 0)}),
    ]


def test_two_samples_of_one_tag_and_time_stay_two_rows(table, tmp_path):
    table(f"time,a,b\n{T0},1,9\n", "one.csv")
    table(f"time,a,b\n{T0},2,9\n{T0 + 1},3,9\n", "two.csv")

    assert [row["a"][0] for _, row in read(tmp_path)] == [1.0, 2.0, 3.0]


def test_a_column_that_is_not_wanted_is_left_out(table):
    path = table(f"time,a,note,b\n{T0},1,text,2\n")

    assert read(path, lambda name: name != "note") == [(0.0, {"a": (1.0, 0), "b": (2.0, 0)})]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"time,a\n{T0},x1\n", r"x\.csv:2: column 2"),
        (f"time,a\n{T0},1\n{T0 - 1},1\n", r"x\.csv:3: time goes back"),
        (f"time,a\n{T0},1,2\n", r"x\.csv:2: it has 3 cells, the header 2"),
        ("time,a\nnoon,1\n", r"x\.csv:2: 'noon' is no time"),
        ("time,a,a\n", r"x\.csv:1: two columns have one name"),
        ("time,a:quality\n", r"x\.csv:1: a:quality qualifies no column"),
        (f"time,a,a:quality\n{T0},1,-1\n", "no OPC UA status code"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(table, text, said):
    with pytest.raises(ConfigError, match=said):
        read(table(text))


def test_a_place_without_tables_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no CSV file"):
        table_paths(tmp_path)
