"""Packed recordings: what goes in comes out, and damage is told."""

from __future__ import annotations

import io
from array import array

import pytest

from gatewayd.backtest import columns
from gatewayd.backtest.columns import SAMPLE, ColumnsFile, ColumnsWriter
from gatewayd.errors import ConfigError


def sample(value, time_ns=1):
    return SAMPLE.pack(value, 0, time_ns)


def packed(*rows, names=("a", "b")):
    file = io.BytesIO()
    writer = ColumnsWriter(names, file)
    for time_ns, shape in rows:
        writer.add(time_ns, shape, b"".join(sample(float(column), time_ns) for column in shape))
    writer.finish()
    return file


def test_rows_are_read_back_as_they_were_written():
    recording = ColumnsFile(packed((10, (0, 1)), (20, (1,)), (30, (0, 1))), "x")

    (chunk,) = recording.chunks()
    assert recording.contents == columns.Contents(("a", "b"), ((0, 1), (1,)), 3, 5, 10, 30)
    assert array("q", chunk.times).tolist() == [10, 20, 30]
    assert array("q", chunk.shapes).tolist() == [0, 1, 0]
    assert chunk.payload[2 * SAMPLE.size : 3 * SAMPLE.size] == sample(1.0, 20)


def test_a_row_of_one_shape_too_many_becomes_single_columns_of_one_pass(monkeypatch):
    monkeypatch.setattr(columns, "SHAPE_CELLS_MAX", 2)

    recording = ColumnsFile(packed((10, (0,)), (20, (1, 0))), "x")

    (chunk,) = recording.chunks()
    assert recording.contents.shapes == ((0,), (1,))
    assert array("q", chunk.shapes).tolist() == [0, 1, ~0]
    assert recording.contents.rows == 2


def test_large_recordings_come_in_chunks(monkeypatch):
    monkeypatch.setattr(columns, "CHUNK_BYTES", 3 * SAMPLE.size)

    chunks = list(ColumnsFile(packed(*((t, (0, 1)) for t in range(1, 8))), "x").chunks())

    assert [len(array("q", chunk.times)) for chunk in chunks] == [2, 2, 2, 1]


@pytest.mark.parametrize("damage", ["short", "flipped", "other"])
def test_a_damaged_file_is_told_with_a_remedy(damage):
    content = packed((10, (0, 1)), (20, (1,))).getvalue()
    if damage == "short":
        content = content[:-3]
    elif damage == "flipped":
        content = content[:20] + bytes([content[20] ^ 0xFF]) + content[21:]
    else:
        content = b"time,a\n1,2\n" * 10

    with pytest.raises(ConfigError, match="no whole packed recording") as caught:
        list(ColumnsFile(io.BytesIO(content), "x.gwc").chunks())
    assert "--pack" in caught.value.remedy
