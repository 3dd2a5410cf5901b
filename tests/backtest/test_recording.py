"""A recording and a site find each other by the names of tags."""

from __future__ import annotations

import io

import pytest

from gatewayd.backtest.columns import ColumnsFile
from gatewayd.backtest.recording import is_packed, pack_tables, rows_of
from gatewayd.errors import ConfigError
from tests.core.scenario import site_of

SITE = site_of([], [])


def test_a_column_may_be_called_by_the_asset_or_by_the_device(tmp_path):
    path, file = tmp_path / "x.csv", io.BytesIO()
    path.write_text("time,pump.temp,plc/flow\n1714564800,1,2\n")

    contents = pack_tables(path, SITE, file, skips=False)

    assert (contents.rows, contents.samples) == (1, 2)
    assert rows_of(ColumnsFile(file, "x"), SITE, path) == (SITE.rows["pump.temp"], SITE.rows["pump.flow"])


@pytest.mark.parametrize(
    ("header", "said"),
    [("pump.tmp", "did you mean pump.temp?"), ("pump.temp,plc/temp", "are the same tag")],
)
def test_a_column_of_no_tag_and_a_tag_of_two_columns_are_refused(tmp_path, header, said):
    path, file = tmp_path / "x.csv", io.BytesIO()
    path.write_text(f"time,{header}\n1714564800{',1' * (1 + header.count(','))}\n")

    def bind():
        pack_tables(path, SITE, file, skips=False)
        return rows_of(ColumnsFile(file, "x"), SITE, path)

    with pytest.raises(ConfigError) as caught:
        bind()
    assert said in caught.value.message


def test_unknown_columns_can_be_left_out_but_something_must_be_left(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("time,pump.temp,note\n1714564800,1,hello\n")
    assert pack_tables(path, SITE, io.BytesIO(), skips=True).names == ("pump.temp",)
    path.write_text("time,note\n1714564800,hello\n")
    with pytest.raises(ConfigError, match="holds no sample"):
        pack_tables(path, SITE, io.BytesIO(), skips=True)


def test_a_packed_file_is_known_by_its_first_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"gw-cols1...")
    assert is_packed(path)
    path.write_bytes(b"time,a\n")
    assert not is_packed(path)
    assert not is_packed(tmp_path)
