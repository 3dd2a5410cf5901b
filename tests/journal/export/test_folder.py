"""The folder of an export: whole under its name, or not there."""

from __future__ import annotations

import json

import pytest

from gatewayd.errors import StoreError
from gatewayd.journal.export.folder import ExportFolder, ProvDocument
from gatewayd.journal.export.prov import SECTIONS, Statement


def test_it_has_its_name_only_once_it_is_whole(tmp_path):
    folder = ExportFolder.begin(tmp_path / "audit")
    folder.write("tile/0/000", b"x")
    folder.append("log", b"a")
    folder.append("log", b"b")
    assert (folder.read("log"), folder.holds("tile/0/000"), folder.holds("tile/0/001")) == (b"ab", True, False)
    assert not (tmp_path / "audit").exists()
    folder.finish()
    folder.discard()
    assert (tmp_path / "audit/tile/0/000").read_bytes() == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_what_is_discarded_leaves_nothing(tmp_path):
    folder = ExportFolder.begin(tmp_path / "deep" / "audit")
    folder.write("checkpoint", b"x")
    folder.discard()
    assert [*(tmp_path / "deep").iterdir()] == []


def test_a_folder_that_is_there_is_never_written_into(tmp_path):
    (tmp_path / "audit").mkdir()
    with pytest.raises(StoreError, match="exists") as found:
        ExportFolder.begin(tmp_path / "audit")
    assert "Name a new folder" in found.value.remedy


def test_a_second_export_to_the_same_place_is_told_of_the_first(tmp_path):
    ExportFolder.begin(tmp_path / "audit")
    with pytest.raises(StoreError, match="another export is under way, or one was cut off") as found:
        ExportFolder.begin(tmp_path / "audit")
    assert "rm -r" in found.value.remedy


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot make"):
        ExportFolder.begin(tmp_path / "file" / "audit")


def test_the_lineage_is_one_json_document_of_all_its_sections(tmp_path):
    folder = ExportFolder.begin(tmp_path / "audit")
    document = ProvDocument(folder)
    for name in ("gw:a", "gw:b"):
        document.add(Statement("entity", name, {"prov:value": 1.5}))
    document.finish()
    told = json.loads(folder.read("prov.json"))
    assert told["entity"] == {"gw:a": {"prov:value": 1.5}, "gw:b": {"prov:value": 1.5}}
    assert set(told) == {"prefix", *SECTIONS}
    assert told["agent"] == {}
    folder.finish()
    assert [path.name for path in (tmp_path / "audit").iterdir()] == ["prov.json"]
