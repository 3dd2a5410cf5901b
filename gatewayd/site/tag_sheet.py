"""A CSV file of another tool as a table: encoding, separator and header row are found, whatever a spreadsheet did to it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from gatewayd.errors import ConfigError
from gatewayd.site.tag_synonyms import column_of

SHEET_BYTES_MAX = 8 * 1024 * 1024
HEADER_WITHIN = 20  # rows; some tools write their name and a date first
COLUMNS_MAX = 100
SEPARATORS = (",", ";", "\t")
COMMENT = ";"  # a line of KEPServerEX that is no row
_UTF16_SHARE = 0.25  # of zero bytes: Latin text in UTF-16 has a half


class Sheet(NamedTuple):
    """A table as found.

    Args:
        encoding: as Python names it.
        separator: between cells.
        header: as the tool wrote it.
        header_row: its line, 1-based.
        rows: (line, cells) of each row below it that holds something.
    """

    encoding: str
    separator: str
    header: list[str]
    header_row: int
    rows: list[tuple[int, list[str]]]


def read_sheet(content: bytes, name: str) -> Sheet:
    """Find the table in a file.

    Args:
        content: of the whole file.
        name: for messages.

    Raises:
        ConfigError: too large, no text, or no row that looks like a header.
    """
    if len(content) > SHEET_BYTES_MAX:
        raise ConfigError(
            f"{name} has {len(content)} bytes; at most {SHEET_BYTES_MAX} are read",
            remedy="Split it into several files.",
        )
    text, encoding = _decoded(content, name)
    found = [(separator, *_table(text, separator)) for separator in SEPARATORS]
    separator, rows, header_at = max(found, key=lambda one: _known(one[1], one[2]))
    if _known(rows, header_at) < 2:
        first = rows[0][1] if rows else []
        raise ConfigError(
            f"{name}: none of the first {HEADER_WITHIN} rows is a header; the first is {', '.join(first)[:120]!r}",
            remedy="Give its columns names such as name, address, type, description; see docs/commissioning.md.",
        )
    header_row, header = rows[header_at]
    return Sheet(encoding, separator, header, header_row, rows[header_at + 1 :])


def _decoded(content: bytes, name: str) -> tuple[str, str]:
    """Return text and encoding; what is neither UTF-8 nor UTF-16 is what Windows writes in western Europe."""
    for encoding in _candidates(content):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            continue
        return text, encoding
    raise ConfigError(f"{name} is no text", remedy="Export it as CSV; a workbook (.xlsx) cannot be read.")


def _candidates(content: bytes) -> Sequence[str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ("utf-16",)
    head = content[:4096]
    if head and head.count(0) >= _UTF16_SHARE * len(head):
        return ("utf-16-le", "utf-16-be") if head[1:2] == b"\0" else ("utf-16-be", "utf-16-le")
    return ("utf-8-sig", "cp1252")


def _table(text: str, separator: str) -> tuple[list[tuple[int, list[str]]], int]:
    """Return the rows that hold something, and which of the first ones is most like a header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            is_comment = separator != COMMENT and bool(cells) and cells[0].lstrip().startswith(COMMENT)
            if any(cell.strip() for cell in cells) and not is_comment:
                rows.append((reader.line_num, [cell.strip() for cell in cells[:COLUMNS_MAX]]))
    except csv.Error:
        return [], 0  # a cell without end: not this separator, or no CSV
    heads = range(min(HEADER_WITHIN, len(rows)))
    return rows, max(heads, key=lambda at: (_known(rows, at), -at), default=0)


def _known(rows: list[tuple[int, list[str]]], at: int) -> int:
    """Count the different columns of ours that a row names."""
    return len({column_of(cell) for cell in rows[at][1]} - {None}) if rows else 0
