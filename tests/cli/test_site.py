"""Commands that take a site's folder refuse a wrong one whole."""

from __future__ import annotations

import pytest

from gatewayd.cli.site import checked_site
from gatewayd.errors import ConfigError
from tests.cli.sites import write_site


def test_a_sound_site_is_handed_over(tmp_path):
    assert checked_site(write_site(tmp_path)).gateway.gateway.name == "acme.example/gw/test"


def test_a_folder_that_is_none_says_which_file_to_look_for(tmp_path):
    with pytest.raises(ConfigError) as caught:
        checked_site(tmp_path / "nowhere")
    assert "is not a folder" in caught.value.message
    assert "gatewayd config check" in caught.value.remedy
