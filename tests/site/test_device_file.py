"""One device file, before the site around it is whole."""

from __future__ import annotations

import pytest

from gatewayd.errors import ConfigError
from gatewayd.model.device import ModbusTcpDevice
from gatewayd.site.device_file import read_device_file


def test_a_device_is_read_without_its_tag_list(tmp_path):
    file = tmp_path / "plc.toml"
    file.write_text('[device]\nprotocol = "modbus-tcp"\nname = "plc"\nhost = "192.0.2.7"\naddress_base = 1\n')
    assert read_device_file(file) == ModbusTcpDevice(name="plc", host="192.0.2.7", address_base=1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[device\n", "is not TOML"),
        ("", r"no \[device\] table"),
        ('[device]\nprotocol = "modbus-tcp"\nname = "plc"\n', "host"),
        ('[device]\nprotocol = "modbus-tcp"\nname = "plc"\nhost = "h"\nunit_id = 300\n', "unit_id"),
    ],
)
def test_a_wrong_file_is_told_as_a_site_would(tmp_path, text, says):
    file = tmp_path / "plc.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_device_file(file)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_device_file(tmp_path / "none.toml")
