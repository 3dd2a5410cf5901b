"""What `gatewayd config check` says of `detect = "auto"`."""

from __future__ import annotations

from gatewayd.model.config import Asset, AssetType, Contract, Gateway, GatewayFile, SiteConfig
from gatewayd.model.detectors import Cusum
from gatewayd.model.device import ModbusTag, ModbusTcpDevice
from gatewayd.site.choices import TypeChoice, choices, said


def site(**kind: object) -> SiteConfig:
    members = ("temp", "speed", "energy", "level")
    tags = tuple(
        ModbusTag(name=name, register_type="holding", address=place, access="rw" if name == "speed" else "r")
        for place, name in enumerate(members)
    )
    contracts = {
        "temp": Contract(units="degC"),
        "speed": Contract(units="%"),
        "energy": Contract(units="kWh"),
        "level": Contract(units="m", cusum=Cusum()),
    }
    return SiteConfig(
        gateway=GatewayFile(gateway=Gateway(name="test.example/gw")),
        devices={"plc": ModbusTcpDevice(name="plc", host="127.0.0.1")},
        tags={"plc": tags},
        asset_types={"pump": AssetType(tags=contracts, **kind), "spare": AssetType(tags=contracts, detect="auto")},
        assets={"pump_1": Asset(type="pump", tags={name: f"plc/{name}" for name in members})},
        points=(),
        rules=(),
    )


def test_each_type_says_what_was_chosen_for_the_members_that_left_it_open():
    found = choices(site(detect="auto"))
    assert found == (TypeChoice(asset_type="pump", chosen={"temp": ("committee",), "speed": (), "energy": ()}),)
    assert said(found[0]) == "pump: detect = auto chose committee for temp; nothing for speed, energy"


def test_a_type_that_leaves_nothing_open_says_nothing():
    assert choices(site()) == ()
