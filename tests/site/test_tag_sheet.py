"""Tables as spreadsheets and tools leave them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.errors import ConfigError
from gatewayd.site.tag_sheet import SHEET_BYTES_MAX, read_sheet

ROWS = [["Tag Name", "Address", "Comment"], ["pump_1", "40001", "Größe in m³"], ["pump_2", "40002", "a, b; c"]]


def csv_text(separator: str, end: str = "\r\n") -> str:
    return end.join(separator.join(f'"{cell}"' for cell in row) for row in ROWS) + end


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_separator_and_encoding_are_found(separator, encoding):
    sheet = read_sheet(csv_text(separator).encode(encoding), "list.csv")
    assert sheet.separator == separator
    assert sheet.header == ROWS[0]
    assert sheet.rows == [(2, ROWS[1]), (3, ROWS[2])]


def test_what_a_tool_writes_above_the_header_is_passed_over():
    text = "Exported by Tool 4.2\n2026-01-02\n\n" + csv_text(",", "\n")
    sheet = read_sheet(text.encode(), "list.csv")
    assert (sheet.header_row, sheet.header) == (4, ROWS[0])
    assert sheet.rows[0] == (5, ROWS[1])


def test_comment_lines_are_no_rows():
    text = ";\n; a comment\n" + csv_text(",", "\n") + ";another,\n"
    assert len(read_sheet(text.encode(), "list.csv").rows) == 2


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"a,b\n1,2\n", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"PK\x03\x04\x00\x00"]
)
def test_what_is_no_list_is_refused_with_a_remedy(content):
    with pytest.raises(ConfigError) as refused:
        read_sheet(content, "list.csv")
    assert refused.value.remedy


def test_a_file_too_large_is_not_decoded():
    with pytest.raises(ConfigError, match="at most"):
        read_sheet(b"x" * (SHEET_BYTES_MAX + 1), "list.csv")


@given(
    st.binary(max_size=400) | st.text(max_size=200).map(lambda text: f"name,address\n{text}".encode("utf-8", "replace"))
)
def test_no_bytes_are_too_strange(content):
    """A sheet, or one of our errors; never anything else."""
    try:
        sheet = read_sheet(content, "list.csv")
    except ConfigError:
        return
    assert all(line > sheet.header_row for line, _ in sheet.rows)
