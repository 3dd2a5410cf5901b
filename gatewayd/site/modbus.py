"""Can each Modbus device be connected as its table says? What one key says against another, and one device to another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gatewayd.model.device import Device, ModbusBusDevice, ModbusRtuOverTcpDevice, ModbusSerialDevice, ModbusTlsDevice
from gatewayd.site.draft import Draft
from gatewayd.site.problem import Problem
from gatewayd.site.source import Origin

_REMEDIES = {
    "certificate": "Name the gateway's own certificate, a PEM file that the device trusts.",
    "private_key": "Name the key that belongs to `certificate`, a PEM file without a password.",
}


def check_modbus(draft: Draft) -> None:
    """Check serial settings, certificates, and that each bus has one master."""
    masters: dict[str, Origin] = {}
    for device, at in draft.devices.values():
        problems: list[Problem] = []
        if isinstance(device, ModbusBusDevice):
            problems += _one_master(device, at, masters)
        if isinstance(device, ModbusSerialDevice):
            problems += _serial(device, at)
        if isinstance(device, ModbusTlsDevice):
            problems += _tls(device, at, draft.folder)
        for problem in problems:
            draft.findings.add(problem)


def _one_master(device: Device, at: Origin, masters: dict[str, Origin]) -> Iterator[Problem]:
    """Two devices on one bus would talk at once: the units of a bus are rows of one device's tag list."""
    if isinstance(device, ModbusSerialDevice):
        key, bus = "serial_port", device.serial_port
    elif isinstance(device, ModbusRtuOverTcpDevice):
        key, bus = "host", f"{device.host} port {device.port}"
    else:
        return
    if bus in masters:
        first = masters[bus].source
        yield at.child(key).problem(
            f"{bus} is the bus of two devices, this one and that in {first.name}; they would talk at once",
            remedy="Make one device of them and say in the column unit_id of its tag list which unit holds each tag.",
            found=bus,
        )
    masters.setdefault(bus, at)


def _serial(device: ModbusSerialDevice, at: Origin) -> Iterator[Problem]:
    if device.framing == "rtu" and device.data_bits != 8:
        yield at.child("data_bits").refused(
            device.data_bits,
            allowed="8 with framing = rtu",
            remedy="RTU frames need all eight bits; with seven the bus speaks ASCII: set framing = ascii.",
        )


def _tls(device: ModbusTlsDevice, at: Origin, folder: Path) -> Iterator[Problem]:
    if (device.server_certificate is None) == (device.ca_file is None):
        both = device.ca_file is not None
        yield at.child("server_certificate").problem(
            "device.server_certificate and device.ca_file are both set; only one can decide whom to trust"
            if both
            else "device.server_certificate is missing, and so is ca_file: anybody could pose as the device",
            remedy="Pin the device's own certificate with server_certificate (compare its fingerprint on the device), "
            "or name the file of its issuers with ca_file.",
            found="both" if both else "nothing",
            allowed="one of the two",
        )
    if device.server_name is not None and device.server_certificate is not None:
        yield at.child("server_name").problem(
            "device.server_name is not looked at: server_certificate pins one certificate, whatever its name",
            remedy="Remove server_name.",
            found=device.server_name,
            severity="warning",
        )
    for key, remedy in _REMEDIES.items():
        if getattr(device, key) is None:
            yield at.child(key).problem(
                f"device.{key} is missing; in Modbus/TCP Security the gateway shows a certificate, too",
                remedy=remedy,
                found="nothing",
                allowed="a file",
            )
    for key in ("server_certificate", "ca_file", "certificate", "private_key"):
        name = getattr(device, key)
        if name is not None and not PurePosixPath(name).is_absolute() and not (folder / name).is_file():
            yield at.child(key).refused(
                name,
                allowed="a file in the site's folder, or an absolute path on the gateway",
                remedy="Copy the file there, or correct its name.",
            )
