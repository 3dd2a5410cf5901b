"""Files are read within limits, and what cannot be read is said once, with its line."""

from __future__ import annotations

import os

import pytest

from gatewayd.site import folder as folder_module


def test_a_syntax_error_is_reported_with_line_and_column(site):
    site.write("gateway.toml", '[gateway]\nname = "a/b"\nsettle_s: 3\n')

    problem = site.only_error()

    assert (problem.file, problem.line) == ("gateway.toml", 3)
    assert problem.message.startswith("not TOML at line 3, column 9: ")
    assert problem.remedy == "TOML writes KEY = VALUE, with an equals sign."


def test_text_without_quotes_is_told_to_get_them(site):
    site.write("gateway.toml", "[gateway]\nname = station\n")

    assert site.only_error().remedy == 'Put quotes around text: KEY = "text".'


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a = " + "9" * 5000, "\x00", "a = 1\na = 2", "[gateway\n"],
    ids=["nested", "digits", "nul", "twice", "open"],
)
def test_hostile_toml_is_a_problem_and_never_a_crash(site, text):
    site.write("gateway.toml", text)

    assert site.only_error().file == "gateway.toml"


def test_a_file_that_is_not_utf8_names_the_line(site):
    site.write("gateway.toml", b'[gateway]\nname = "t\xe9l"\n')

    problem = site.only_error()

    assert (problem.line, problem.remedy) == (2, "Save the file as UTF-8.")


def test_a_byte_order_mark_does_not_matter(site):
    site.write("gateway.toml", b"\xef\xbb\xbf" + (site.path / "gateway.toml").read_bytes())

    assert site.errors() == []


def test_a_file_larger_than_the_limit_is_not_decoded(site, monkeypatch):
    monkeypatch.setattr(folder_module, "FILE_BYTES_MAX", 1000)

    assert {p.message.split(" is larger")[0] for p in site.errors()} >= {"gateway.toml", "policies/station.toml"}


def test_a_site_has_at_most_so_many_files(site, monkeypatch):
    monkeypatch.setattr(folder_module, "FILES_MAX", 3)

    assert any("at most 3 files" in p.message for p in site.errors())


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(site):
    (site.path / "gateway.toml").unlink()
    os.mkfifo(site.path / "gateway.toml")

    assert site.only_error().message == "gateway.toml is not a file"


def test_a_misspelt_folder_is_noticed(site):
    (site.path / "policies").rename(site.path / "policiez")

    assert [(w.file, w.nearest) for w in site.warnings()] == [("policiez", "policies")]
