"""Opens a recording of samples for a site: a packed file as it is, CSV files packed on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from gatewayd.backtest.columns import MAGIC, ColumnsFile, ColumnsWriter, Contents
from gatewayd.backtest.tables import Tables, table_paths
from gatewayd.core.site import Site
from gatewayd.errors import ConfigError
from gatewayd.site.problem import nearest


def is_packed(place: Path) -> bool:
    """Say whether a file is a packed recording."""
    if not place.is_file():
        return False
    try:
        with place.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}", remedy="Check its rights.") from error


def pack_tables(
    place: Path, site: Site, file: BinaryIO, *, skips: bool, progress: Callable[[int], None] = lambda rows: None
) -> Contents:
    """Pack a CSV file or a folder of them.

    Args:
        place: of the CSV.
        site: whose tags the columns name.
        file: where to, at its start.
        skips: a column that names no tag of the site is left out; else it is an error.
        progress: told the rows so far, now and then.

    Raises:
        ConfigError: what stands there cannot be used; it says where.
    """

    def accepts(name: str) -> bool:
        if name in site.rows:
            return True
        if skips:
            return False
        raise _unknown(place, name, site)

    tables = Tables(table_paths(place), accepts)
    writer = ColumnsWriter(tables.names, file)
    tables.pack(writer, progress=progress)
    contents = writer.finish()
    if not contents.rows:
        raise ConfigError(f"{place} holds no sample of this site", remedy="Name its columns by tags: asset.tag.")
    return contents


def rows_of(recording: ColumnsFile, site: Site, place: Path) -> tuple[int, ...]:
    """Return the row of the twin of each column.

    Raises:
        ConfigError: a column names no tag of the site, or two name one.
    """
    for name in recording.contents.names:
        if name not in site.rows:
            raise _unknown(place, name, site)
    rows = tuple(site.rows[name] for name in recording.contents.names)
    if len(set(rows)) < len(rows):
        twice = next(name for name, row in zip(recording.contents.names, rows, strict=True) if rows.count(row) > 1)
        raise ConfigError(
            f"{place}: two columns are the same tag, {twice} by one of its names", remedy="Leave one of them out."
        )
    return rows


def _unknown(place: Path, name: str, site: Site) -> ConfigError:
    near = nearest(name, site.rows)
    guess = f"; did you mean {near}?" if near else ""
    return ConfigError(
        f"{place}: the site has no tag {name!r}{guess}",
        remedy="Name the column asset.tag or device/tag, or leave such columns out with --skip-unknown.",
    )
