"""`device read`: a person sees which reading is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd.cli.device_read import read
from tests.cli.sites import small_plc, write_site
from tests.device.opcua.conftest import ServerProcess


@pytest.fixture(scope="module")
def opcua_server() -> Iterator[ServerProcess]:
    running = ServerProcess()
    yield running
    running.stop()


def opcua_site(folder: Path, server: ServerProcess) -> Path:
    site = write_site(folder)
    (site / "devices" / "scada.toml").write_text(
        f'[device]\nprotocol = "opcua"\nname = "scada"\nendpoint = "{server.endpoint}"\n'
        'security = "None"\nmode = "None"\ninsecure = "accepted-by=test"\n'
    )
    (site / "devices" / "scada.tags.csv").write_text("name,node_id,type\nlevel,nsu=urn:gatewayd:test;s=d1,float64\n")
    return site


def test_registers_are_shown_raw_and_in_all_byte_orders(gatewayd, tmp_path):
    with small_plc() as (port, heard):
        said = gatewayd("device", "read", str(write_site(tmp_path, port=port)), "plc", "holding:1", "-n", "2")
    assert (said.code, said.err) == (0, "")
    rows = [line.split() for line in said.out.splitlines()]
    assert ["40002", "4148", "16712", "0100000101001000"] in rows
    (line,) = [row for row in rows if row[:2] == ["40002", "float32"]]
    assert line[2] == "12.5"
    assert [pdu[0] for pdu in heard] == [3]


def test_a_tag_is_read_by_its_name(gatewayd, tmp_path):
    with small_plc() as (port, _):
        said = gatewayd("device", "read", str(write_site(tmp_path, port=port)), "plc", "flow", "--json")
    found = json.loads(said.out)
    assert (found["first"], found["registers"]) == ("holding register 40002", [0x4148, 0])
    (float32,) = [each for each in found["candidates"] if each["type"] == "float32"]
    assert float32["values"][0] == 12.5


def test_without_a_site_host_and_unit_are_enough(gatewayd):
    with small_plc() as (port, _):
        said = gatewayd("device", "read", "--host", f"127.0.0.1:{port}", "holding:40001", "-n", "1", "--type", "uint16")
    assert said.code == 0
    assert said.out.splitlines()[-2].split()[:3] == ["40001", "uint16", "625"]


def test_a_refusal_of_the_device_is_told_with_its_remedy(gatewayd):
    with small_plc() as (port, _):
        said = gatewayd("device", "read", "--host", f"127.0.0.1:{port}", "holding:5000")
    assert said.code == 1
    assert "illegal data address" in said.err


@pytest.mark.parametrize(
    "wrong",
    [
        ("holding:1",),
        ("site", "plc"),
        ("--host", "127.0.0.1:1", "a", "b"),
        ("--host", "127.0.0.1:1", "7"),
        ("--host", "127.0.0.1:1", "coil:1", "--type", "int16"),
        ("--host", "127.0.0.1:1", "holding:1", "-n", "1", "--type", "float32"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2(wrong, gatewayd):
    said = gatewayd("device", "read", *wrong)
    assert (said.code, said.out) == (2, "")


def test_a_node_is_shown_with_type_status_and_times(gatewayd, tmp_path, opcua_server):
    site = str(opcua_site(tmp_path, opcua_server))
    said = gatewayd("device", "read", site, "scada", "nsu=urn:gatewayd:test;s=float32")
    assert (said.code, said.err) == (0, "")
    assert [line.split() for line in said.out.splitlines()[1:5]] == [
        ["name", "float32"], ["value", "1.5"], ["type", "Float"], ["status", "Good"],
    ]  # fmt: skip
    found = json.loads(gatewayd("device", "read", site, "scada", "nsu=urn:gatewayd:test;s=sick", "--json").out)
    assert found["status"] == "BadSensorFailure"


def test_a_node_is_found_by_the_name_of_its_tag(gatewayd, tmp_path, opcua_server):
    said = gatewayd("device", "read", str(opcua_site(tmp_path, opcua_server)), "scada", "level", "--json")
    assert json.loads(said.out)["value"] == "1.0"


def test_the_shell_completes_the_device(tmp_path):
    import click

    context = click.Context(read)
    context.params["target"] = (str(write_site(tmp_path)),)
    assert read.params[0].shell_complete(context, "p")[0].value == "plc"
