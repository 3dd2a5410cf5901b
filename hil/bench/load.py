"""The same tags for everyone: what the field benches read, as a site for us and as node ids and registers for others."""

from __future__ import annotations

from collections.abc import Sequence

from gatewayd.model.config import Asset, AssetType, Contract, Gateway, GatewayFile, SiteConfig
from gatewayd.model.device import (
    Device,
    ModbusTag,
    ModbusTcpDevice,
    OpcuaDevice,
    OpcuaScanClass,
    OpcuaTag,
    ScanClass,
    Tag,
)

NAMESPACE = "urn:gatewayd:bench"
REGISTERS_PER_REQUEST = 125
CHECKED = Contract(low=-1.0, high=70_000.0, max_rate=1e9)  # every tag is checked for range, rate and age


def node_name(number: int) -> str:
    return f"d{number}"


def modbus_site(ports: Sequence[int], *, tags: int, scan_rate_ms: int = 1000, max_outstanding: int = 16) -> SiteConfig:
    """One device per port, each with holding registers 0 to `tags` - 1 as uint16."""
    devices: dict[str, Device] = {}
    lists: dict[str, tuple[Tag, ...]] = {}
    wanted = tuple(ModbusTag(name=f"v{number}", register_type="holding", address=number) for number in range(tags))
    for number, port in enumerate(ports):
        name = f"plc{number}"
        devices[name] = ModbusTcpDevice(
            name=name,
            host="127.0.0.1",
            port=port,
            max_outstanding=max_outstanding,
            timeout_ms=5000,
            scan_classes={"default": ScanClass(scan_rate_ms=scan_rate_ms)},
        )
        lists[name] = wanted
    return _site(devices, lists)


def opcua_site(port: int, *, tags: int, nodes_per_request: int, scan_rate_ms: int = 1000) -> SiteConfig:
    """One server, `tags` doubles."""
    device = OpcuaDevice(
        name="plc0",
        endpoint=f"opc.tcp://127.0.0.1:{port}",
        security="None",
        mode="None",
        insecure="accepted-by=bench",
        timeout_ms=20_000,
        max_nodes_per_read=nodes_per_request,
        scan_classes={"default": OpcuaScanClass(mode="poll", scan_rate_ms=scan_rate_ms)},
    )
    wanted = tuple(
        OpcuaTag(name=f"v{number}", node_id=f"nsu={NAMESPACE};s={node_name(number)}") for number in range(tags)
    )
    return _site({"plc0": device}, {"plc0": wanted})


def _site(devices: dict[str, Device], lists: dict[str, tuple[Tag, ...]]) -> SiteConfig:
    """Put every tag under a contract, one asset per device."""
    longest = max(lists.values(), key=len)
    kinds = {"load": AssetType(tags={tag.name: CHECKED for tag in longest})}
    assets = {
        f"load_{name}": Asset(type="load", tags={tag.name: f"{name}/{tag.name}" for tag in tags})
        for name, tags in lists.items()
    }
    return SiteConfig(
        gateway=GatewayFile(gateway=Gateway(name="bench.example/gw/field")),
        devices=devices,
        tags=lists,
        asset_types=kinds,
        assets=assets,
        points=(),
        rules=(),
    )
