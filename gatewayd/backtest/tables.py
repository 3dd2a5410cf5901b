"""CSV recordings: the first column is the time, each other a tag. They are packed into columns before anything runs.

`asset.tag` or `device/tag` names a column of values in contract units; `name:quality` one of OPC UA status codes, or
good, uncertain, bad. An empty cell is no sample. Rows of one time are merged, whatever file they stand in.
"""

from __future__ import annotations

import csv
import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from gatewayd.backtest.columns import ROW_SAMPLES_MAX, SAMPLE, ColumnsWriter
from gatewayd.backtest.moment import wall_ns
from gatewayd.errors import ConfigError

FILES_MAX: Final = 4096
ROWS_PER_WORD: Final = 4096  # between two words of progress
QUALITY: Final = ":quality"
_QUALITIES: Final = {"": 0, "good": 0, "uncertain": 0x40000000, "bad": 0x80000000}
_WORDS: Final = {"true": 1.0, "false": 0.0, "on": 1.0, "off": 0.0}
_DELIMITERS: Final = ",;\t"


class Row(NamedTuple):
    """The samples of one time of one file; `columns` are numbers of the recording."""

    time_ns: int
    columns: tuple[int, ...]
    payload: bytes


class Layout(NamedTuple):
    """What the header of a file says.

    Args:
        delimiter: of its cells.
        cells: of each column of values, its place in a row.
        qualities: likewise, the place of its quality; -1 = it has none.
        columns: likewise, its number in the recording.
        width: cells of a row.
    """

    delimiter: str
    cells: tuple[int, ...]
    qualities: tuple[int, ...]
    columns: tuple[int, ...]
    width: int


def table_paths(place: Path) -> tuple[Path, ...]:
    """Return a CSV file, or those of a folder by name.

    Raises:
        ConfigError: there is none, or there are too many.
    """
    paths = tuple(sorted(place.glob("*.csv"))) if place.is_dir() else (place,)
    if not paths or len(paths) > FILES_MAX or not all(path.is_file() for path in paths):
        raise ConfigError(
            f"{place} is no CSV file and no folder of at most {FILES_MAX} of them",
            remedy="Name a CSV file, a folder of CSV files, a packed recording, or a daemon's storage folder.",
        )
    return paths


class Tables:
    """The CSV files of one recording.

    Args:
        paths: at least one.
        accepts: says whether a column is wanted, or raises what is to be told about it.

    Raises:
        ConfigError: a header cannot be used.
    """

    def __init__(self, paths: Sequence[Path], accepts: Callable[[str], bool]) -> None:
        numbers: dict[str, int] = {}
        self._layouts = [(path, _layout(path, numbers, accepts)) for path in paths]
        self.names = tuple(numbers)

    def pack(self, writer: ColumnsWriter, *, progress: Callable[[int], None] = lambda rows: None) -> None:
        """Write every row, in the order of time.

        Raises:
            ConfigError: a line cannot be used; it says which.
        """
        sources = [_rows(path, layout) for path, layout in self._layouts]
        merged = heapq.merge(*sources, key=itemgetter(0)) if len(sources) > 1 else sources[0]
        for count, row in enumerate(_joined(merged) if len(sources) > 1 else merged):
            writer.add(*row)
            if not count % ROWS_PER_WORD:
                progress(count)


def _joined(rows: Iterator[Row]) -> Iterator[Row]:
    """Join rows of one time that have no column in common: they were sampled together."""
    waiting: Row | None = None
    taken: set[int] = set()
    for row in rows:
        is_small = waiting is not None and len(taken) + len(row.columns) <= ROW_SAMPLES_MAX
        if waiting is not None and is_small and waiting.time_ns == row.time_ns and taken.isdisjoint(row.columns):
            waiting = Row(row.time_ns, waiting.columns + row.columns, waiting.payload + row.payload)
        else:
            if waiting is not None:
                yield waiting
            waiting, taken = row, set()
        taken.update(row.columns)
    if waiting is not None:
        yield waiting


# --- one file -----------------------------------------------------------------------------------------------------------


def _open(path: Path) -> TextIO:
    try:
        return path.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", remedy="Check its name and its rights."
        ) from error


def _layout(path: Path, numbers: dict[str, int], accepts: Callable[[str], bool]) -> Layout:
    with _open(path) as file:
        first = file.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    places = {name: place for place, name in enumerate(names) if place}
    if len(places) != len(names) - 1 or "" in places:
        raise _refused(path, 1, "two columns have one name, or one has none", "Name each column once, by its tag.")
    values = [name for name in places if not name.endswith(QUALITY)]
    for name in places:
        if name.endswith(QUALITY) and name.removesuffix(QUALITY) not in places:
            raise _refused(path, 1, f"{name} qualifies no column", "Write it beside a column of values.")
    wanted = [name for name in values if accepts(name)]
    return Layout(
        delimiter=delimiter,
        cells=tuple(places[name] for name in wanted),
        qualities=tuple(places.get(name + QUALITY, -1) for name in wanted),
        columns=tuple(numbers.setdefault(name, len(numbers)) for name in wanted),
        width=len(names),
    )


def _rows(path: Path, layout: Layout) -> Iterator[Row]:
    if not layout.cells:
        return
    is_plain = max(layout.qualities) < 0
    pick = itemgetter(*layout.cells) if len(layout.cells) > 1 else None
    last_ns = 0
    with _open(path) as file:
        reader = csv.reader(file, delimiter=layout.delimiter)
        next(reader, None)
        try:
            for row in reader:
                if not row:
                    continue
                time_ns = _time(path, reader.line_num, row, layout, last_ns)
                last_ns = time_ns
                found = _whole(row, time_ns, layout, pick) if is_plain and pick else None
                found = found or _sparse(path, reader.line_num, row, time_ns, layout)
                if found.columns:
                    yield found
        except (csv.Error, UnicodeDecodeError) as error:
            raise _refused(path, reader.line_num, str(error), "Write UTF-8 and plain CSV.") from error


def _time(path: Path, line: int, row: Sequence[str], layout: Layout, last_ns: int) -> int:
    if len(row) != layout.width:
        said = f"it has {len(row)} cells, the header {layout.width}"
        raise _refused(path, line, said, "Leave a cell empty where there is no sample.")
    try:
        time_ns = wall_ns(row[0])
    except ValueError as error:
        said = f"{row[0]!r} is no time ({error})"
        raise _refused(path, line, said, "Write 2024-05-01T12:00:00.5Z, or seconds since 1970.") from error
    if time_ns < last_ns:
        raise _refused(path, line, "time goes back", "Sort the file by its first column.")
    return time_ns


def _whole(
    row: Sequence[str], time_ns: int, layout: Layout, pick: Callable[[Sequence[str]], tuple[str, ...]]
) -> Row | None:
    """Return a row of which every cell is a plain number; None = look at each. No object outlives a cell here."""
    try:
        values = array("d", map(float, pick(row)))
    except ValueError:
        return None
    cells = array("d", bytes(SAMPLE.size * len(values)))
    times = array("d")
    times.frombytes(time_ns.to_bytes(8, "little") * len(values))
    cells[0::3], cells[2::3] = values, times
    return Row(time_ns, layout.columns, cells.tobytes())


def _sparse(path: Path, line: int, row: Sequence[str], time_ns: int, layout: Layout) -> Row:
    columns: list[int] = []
    payload = bytearray()
    for cell, quality, column in zip(layout.cells, layout.qualities, layout.columns, strict=True):
        text = row[cell].strip()
        said = row[quality].strip() if quality >= 0 else ""
        if not text and not said:
            continue
        try:
            status = _status(said)
            value = _value(text, layout.delimiter) if text else float("nan")
        except ValueError as error:
            raise _refused(path, line, f"column {cell + 1}: {error}", "Write a number, or leave it empty.") from error
        columns.append(column)
        payload += SAMPLE.pack(value, status, time_ns)
    return Row(time_ns, tuple(columns), bytes(payload))


def _value(text: str, delimiter: str) -> float:
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    return float(text.replace(",", ".") if delimiter == ";" else text)


def _status(text: str) -> int:
    known = _QUALITIES.get(text.lower())
    status = int(text, 0) if known is None else known
    if not 0 <= status < 1 << 32:
        raise ValueError(f"{text} is no OPC UA status code")
    return status


def _refused(path: Path, line: int, said: str, remedy: str) -> ConfigError:
    return ConfigError(f"{path}:{line}: {said}", remedy=remedy)
