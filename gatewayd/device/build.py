"""Chooses the driver of a device. A driver's library is imported only when a device needs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from gatewayd.clock import Clock
from gatewayd.device.link import Link
from gatewayd.device.modbus.plan import plan_reads as plan_modbus
from gatewayd.device.opcua.plan import plan_reads as plan_opcua
from gatewayd.model.block import ReadPlan
from gatewayd.model.device import Device, ModbusDevice, ModbusTag, OpcuaTag, Tag

Numbered = tuple[int, Tag]


def plan_reads(device: Device, tags: Sequence[Numbered], first_index: int) -> tuple[ReadPlan, ...]:
    """Return the fewest requests that read a device's tags.

    Args:
        device: whose limits the plan keeps.
        tags: (row of the twin, tag).
        first_index: index of the first plan in the site's list.
    """
    if isinstance(device, ModbusDevice):
        return plan_modbus(device, cast("Sequence[tuple[int, ModbusTag]]", tags), first_index)
    return plan_opcua(device, cast("Sequence[tuple[int, OpcuaTag]]", tags), first_index)


def build_link(
    device: Device,
    tags: Sequence[Numbered],
    plans: Sequence[ReadPlan],
    *,
    clock: Clock,
    folder: Path,
    identity_folder: Path,
) -> Link:
    """Return a device's link, not yet connected.

    Args:
        device: its configuration.
        tags: (row of the twin, tag), every tag of the device.
        plans: its read plans.
        clock: for the times of blocks.
        folder: what relative file names in the configuration start from.
        identity_folder: where our own certificates live.
    """
    if isinstance(device, ModbusDevice):
        from gatewayd.device.modbus.link import ModbusLink

        return ModbusLink(device, cast("Sequence[tuple[int, ModbusTag]]", tags), plans, clock, folder)
    from gatewayd.device.opcua.link import OpcuaLink  # asyncua costs 27 MB: only for sites that need it

    return OpcuaLink(device, cast("Sequence[tuple[int, OpcuaTag]]", tags), plans, clock, folder, identity_folder)
