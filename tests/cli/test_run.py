"""`run` hands over to the app, or says why it cannot."""

from __future__ import annotations

import gc
import json

import pytest

from gatewayd import app
from gatewayd.errors import ConfigError
from tests.cli.sites import write_site


def test_a_wrong_site_is_refused_with_every_error_and_nothing_starts(gatewayd, tmp_path):
    site = write_site(tmp_path)
    (site / "devices" / "plc.toml").write_text(
        '[device]\nprotocol = "modbus-tcp"\nname = "plc"\nunit_id = 300\nhots = "x"\n'
    )
    said = gatewayd("run", str(site), "--json")
    told = json.loads(said.err.splitlines()[-1])
    assert said.code == 1
    assert "unit_id" in told["error"]
    assert "hots" in told["error"]
    assert not (tmp_path / "storage").exists()


def test_the_apps_exit_code_is_the_commands(gatewayd, tmp_path, monkeypatch):
    """The app is replaced here: that it runs is shown by the loop's own tests."""
    folders = []

    def run(folder):
        folders.append(folder)
        return 6

    monkeypatch.setattr("gatewayd.app.run", run)
    assert gatewayd("run", str(tmp_path)).code == 6
    assert folders == [tmp_path]


def test_a_start_that_fails_leaves_the_collector_as_it_was(tmp_path):
    with pytest.raises(ConfigError):
        app.run(tmp_path)
    assert gc.isenabled()
