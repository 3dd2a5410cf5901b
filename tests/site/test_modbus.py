"""How a Modbus device is connected: what cannot be is said in words a technician can act on."""

from __future__ import annotations

import pytest

from gatewayd.model.device import ModbusRtuOverTcpDevice, ModbusSerialDevice, ModbusTlsDevice, ModbusUdpDevice

TAGS = "name,register_type,address,unit_id\na,holding,0,\nb,holding,0,7\n"


def device(protocol: str, *lines: str, name: str = "meters") -> str:
    return "\n".join(["[device]", f'protocol = "{protocol}"', f'name = "{name}"', *lines]) + "\n"


@pytest.fixture
def add(site):
    """Add a device with two tags, of two units, to the example site."""

    def write(text: str, *, file: str = "meters", tags: str = TAGS) -> None:
        site.write(f"devices/{file}.toml", text)
        site.write(f"devices/{file}.tags.csv", tags)

    return write


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            device("modbus-rtu", 'serial_port = "/dev/ttyUSB0"', "baud_rate = 9600", 'parity = "none"'),
            ModbusSerialDevice,
        ),
        (
            device("modbus-rtu", 'serial_port = "/dev/ttyS1"', 'framing = "ascii"', "data_bits = 7"),
            ModbusSerialDevice,
        ),
        (device("modbus-rtu-over-tcp", 'host = "10.0.0.9"', "port = 4001"), ModbusRtuOverTcpDevice),
        (device("modbus-udp", 'host = "10.0.0.9"'), ModbusUdpDevice),
        (
            device(
                "modbus-tls",
                'host = "h"',
                'ca_file = "/etc/ca.pem"',
                'certificate = "/etc/gw.pem"',
                'private_key = "/etc/gw.key"',
            ),
            ModbusTlsDevice,
        ),
    ],
    ids=["rtu", "ascii", "rtu over tcp", "udp", "tls"],
)
def test_every_transport_is_a_protocol_of_its_own(site, add, text, kind):
    add(text)
    config = site.config()
    assert type(config.devices["meters"]) is kind
    assert [tag.unit_id for tag in config.tags["meters"]] == [None, 7]


def test_a_key_of_another_transport_is_said_to_belong_there(site, add):
    add(device("modbus-tcp", 'host = "h"', 'serial_port = "/dev/ttyUSB0"'))
    problem = site.only_error()
    assert problem.message == (
        "device.serial_port means nothing with protocol = modbus-tcp; it belongs to protocol = modbus-rtu"
    )
    assert problem.remedy.startswith("Remove serial_port, or set protocol = modbus-rtu if that is how")


def test_no_transport_offers_what_it_cannot_do(site, add):
    """Pipelining on a bus, TLS without a certificate to check."""
    add(device("modbus-rtu", 'serial_port = "/dev/ttyUSB0"', "max_outstanding = 4"))
    assert site.only_error().message.startswith("device.max_outstanding means nothing with protocol = modbus-rtu")


def test_a_serial_port_is_a_device_file_and_a_baud_rate_one_that_ports_know(site, add):
    add(device("modbus-rtu", 'serial_port = "COM3"', "baud_rate = 14400"))
    assert [(p.key, p.allowed.split(",")[0]) for p in site.errors()] == [
        ("device.serial_port", "a device file such as /dev/ttyUSB0 or"),
        ("device.baud_rate", "1200"),
    ]


def test_rtu_needs_eight_bits(site, add):
    add(device("modbus-rtu", 'serial_port = "/dev/ttyUSB0"', "data_bits = 7"))
    assert "set framing = ascii" in site.only_error().remedy


def test_nobody_answers_a_broadcast(site, add):
    add(device("modbus-rtu", 'serial_port = "/dev/ttyUSB0"', "unit_id = 0"))
    assert site.only_error().allowed == "a whole number from 1 to 255"
    add(device("modbus-rtu", 'serial_port = "/dev/ttyUSB0"'), tags=TAGS.replace("0,7", "0,0"))
    problem = site.only_error()
    assert (problem.key, problem.found, problem.allowed) == ("row 3.unit_id", "0", "1 to 255 on a bus")


def test_a_unit_id_in_a_tag_list_is_a_number_on_the_bus(site, add):
    add(device("modbus-tcp", 'host = "h"'), tags=TAGS.replace("0,7", "0,256"))
    assert site.only_error().key == "row 3.unit_id"
    add(device("modbus-tcp", 'host = "h"'), tags=TAGS.replace("0,7", "0,seven"))
    assert site.only_error().allowed == "a whole number"


@pytest.mark.parametrize(
    ("protocol", "where"),
    [("modbus-rtu", ('serial_port = "/dev/ttyUSB0"',)), ("modbus-rtu-over-tcp", ('host = "10.0.0.9"', "port = 4001"))],
)
def test_a_bus_has_one_master(site, add, protocol, where):
    add(device(protocol, *where), file="first")
    add(device(protocol, *where, name="others"), file="second")
    problem = site.only_error()
    assert (problem.file, "devices/first.toml" in problem.message) == ("devices/second.toml", True)
    assert "column unit_id" in problem.remedy


def test_tls_checks_the_server_and_shows_itself(site, add):
    add(device("modbus-tls", 'host = "h"'))
    assert [p.key for p in site.errors()] == ["device.server_certificate", "device.certificate", "device.private_key"]
    keys = ('certificate = "/a"', 'private_key = "/b"')
    add(device("modbus-tls", 'host = "h"', 'server_certificate = "plc.pem"', 'ca_file = "/c"', *keys))
    assert [(p.key, p.found) for p in site.errors()] == [
        ("device.server_certificate", "both"),
        ("device.server_certificate", "'plc.pem'"),
    ]


def test_a_name_beside_a_pinned_certificate_is_not_looked_at(site, add):
    keys = ('certificate = "/a"', 'private_key = "/b"', 'server_certificate = "/c"', 'server_name = "plc"')
    add(device("modbus-tls", 'host = "h"', *keys))
    assert "device.server_name" in [p.key for p in site.warnings()]
