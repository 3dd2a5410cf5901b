"""The part of `device probe` that asks a device about itself: identity, latency, limits, clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gatewayd.clock import Clock
from gatewayd.errors import DeviceError
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.device import Device, ModbusDevice, OpcuaDevice
from gatewayd.model.probe_view import ProbeSurvey

_FIRST_REGISTER = (3, 0)  # of a device whose tags tell nothing better: holding register 0


async def survey(
    device: Device,
    readable: tuple[int, int, int],
    *,
    clock: Clock,
    folder: Path,
    identity_folder: Path,
    progress: Callable[[str], None],
) -> ProbeSurvey:
    """Ask a device about itself; a failure on the way is told in the answer.

    Args:
        device: its configuration.
        readable: unit id, function and address of a register that can be read, see `readable_register`.
        clock: for latency and the device's clock.
        folder: of the site.
        identity_folder: of our OPC UA certificate.
        progress: told what is being tried.
    """
    try:
        if isinstance(device, ModbusDevice):
            return await _survey_unit(device, readable, clock, folder, progress)
        return await _survey_server(device, clock, (folder, identity_folder), progress)
    except DeviceError as error:
        return ProbeSurvey(problem=f"{error.message}. {error.remedy}")


def readable_register(device: Device, plans: Sequence[ReadPlan], blocks: Mapping[int, Block]) -> tuple[int, int, int]:
    """Return unit id, function and address of a register that was just read; the longest request is the best start."""
    read = [
        (int(plan.request[2]), plan.unit, int(plan.request[0]), int(plan.request[1]))
        for plan in plans
        if plan.index in blocks and blocks[plan.index].codec is Codec.MODBUS_REGISTERS
    ]
    if read:
        return max(read)[1:]
    return (device.unit_id if isinstance(device, ModbusDevice) else 0, *_FIRST_REGISTER)


async def _survey_unit(
    device: ModbusDevice, readable: tuple[int, int, int], clock: Clock, folder: Path, progress: Callable[[str], None]
) -> ProbeSurvey:
    from gatewayd.device.modbus.asking import asker_of
    from gatewayd.device.modbus.limits import Surveyor, suggestions
    from gatewayd.device.modbus.scan import identify

    bus = asker_of(device, clock, folder)
    unit_id, function, start = readable
    progress("identification")
    try:
        await bus.open()
        told = await identify(bus, unit_id)
    finally:
        await bus.close()
    found = await Surveyor(bus, unit_id, function, start, clock=clock, progress=progress).run()
    limits: dict[str, int | float | str] = {}
    if found.registers is not None:
        limits["registers_in_one_request"] = found.registers.count
        if found.registers.reason:
            limits["one_more_register"] = found.registers.reason
    if found.outstanding is not None:
        limits["requests_open_at_once"] = found.outstanding
    return ProbeSurvey(
        identity={} if told is None else dict(told.objects),
        latency_min_ms=found.latency.min_ms if found.latency else None,
        latency_median_ms=found.latency.median_ms if found.latency else None,
        latency_max_ms=found.latency.max_ms if found.latency else None,
        limits=limits,
        suggested=suggestions(found),
        problem="" if found.latency else "no register could be read, so latency and limits are unknown",
    )


async def _survey_server(
    device: OpcuaDevice, clock: Clock, folders: tuple[Path, Path], progress: Callable[[str], None]
) -> ProbeSurvey:
    from gatewayd.device.modbus.limits import Latency, Survey, suggestions
    from gatewayd.device.opcua.link import OpcuaLink
    from gatewayd.device.opcua.survey import survey_server

    link = OpcuaLink(device, (), (), clock, *folders)
    try:
        await link.connect()
        found = await survey_server(link.session, clock, progress)
    finally:
        await link.close()
    low_ms, median_ms, high_ms = min(found.latency_ms), found.latency_median_ms, max(found.latency_ms)
    latency = Latency(rounds=len(found.latency_ms), min_ms=low_ms, median_ms=median_ms, max_ms=high_ms)
    return ProbeSurvey(
        identity=found.identity,
        latency_min_ms=low_ms,
        latency_median_ms=median_ms,
        latency_max_ms=high_ms,
        limits=dict(found.limits),
        clock_offset_ms=found.clock_offset_ms,
        clock_uncertainty_ms=found.clock_uncertainty_ms,
        suggested=suggestions(Survey(latency=latency)),
    )
