"""Which nodes are read together."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gatewayd.device.opcua.plan import plan_reads
from gatewayd.errors import ConfigError
from gatewayd.model.block import Codec, PlanRow, ReadPlan, WireType
from gatewayd.model.device import OpcuaDevice, OpcuaScanClass, OpcuaTag

CLASSES = {"fast": OpcuaScanClass(scan_rate_ms=100), "slow": OpcuaScanClass(scan_rate_ms=5000)}


def plant(**settings) -> OpcuaDevice:
    return OpcuaDevice(name="plant", endpoint="opc.tcp://plc:4840", scan_classes=CLASSES, **settings)


def tag(name: str, **settings) -> OpcuaTag:
    return OpcuaTag(name=name, node_id=f"ns=2;s={name}", **{"scan_class": "fast", **settings})


def test_each_scan_class_has_its_plan_and_rows_stand_in_the_order_of_the_nodes():
    tags = [(7, tag("a", type="int16")), (9, tag("b", scan_class="slow")), (3, tag("c", type="bool"))]
    assert plan_reads(plant(), tags, 5) == (
        ReadPlan(
            5, "plant", "fast", Codec.OPCUA_READ,
            (PlanRow(7, 0, WireType.INT16), PlanRow(3, 0, WireType.BOOL)), ("ns=2;s=a", "ns=2;s=c"),
        ),
        ReadPlan(6, "plant", "slow", Codec.OPCUA_READ, (PlanRow(9, 0, WireType.FLOAT64),), ("ns=2;s=b",)),
    )  # fmt: skip


def test_write_only_tags_are_never_read():
    (only,) = plan_reads(plant(), [(0, tag("a", access="w")), (1, tag("b", access="rw"))], 0)
    assert only.request == ("ns=2;s=b",)
    assert plan_reads(plant(), [(0, tag("a", access="w"))], 0) == ()


@pytest.mark.parametrize(("configured", "sizes"), [(0, [2000, 500]), (1000, [1000, 1000, 500]), (100_000, [2500])])
def test_a_scan_class_is_cut_into_reads_no_larger_than_configured(configured, sizes):
    plans = plan_reads(plant(max_nodes_per_read=configured), [(row, tag(f"t{row}")) for row in range(2500)], 0)
    assert [len(plan.rows) for plan in plans] == sizes
    assert [plan.index for plan in plans] == list(range(len(sizes)))
    assert [row.row for plan in plans for row in plan.rows] == list(range(2500))


def test_no_plan_outgrows_what_the_core_takes():
    plans = plan_reads(plant(max_nodes_per_read=100_000), [(row, tag(f"t{row}")) for row in range(12_000)], 0)
    assert [len(plan.rows) for plan in plans] == [10_000, 2000]


def test_an_unknown_scan_class_is_an_error_that_names_the_tag_and_the_choice():
    with pytest.raises(ConfigError, match="plant/a") as refused:
        plan_reads(plant(), [(0, tag("a", scan_class="medium"))], 0)
    assert "fast, slow" in refused.value.remedy


def test_a_wrong_node_id_is_found_when_the_site_is_checked():
    wrong = OpcuaTag(name="a", node_id="Pump1", scan_class="fast", access="w")
    with pytest.raises(ConfigError, match="not a node id"):
        plan_reads(plant(), [(0, wrong)], 0)


def test_planning_needs_no_asyncua():
    code = "import gatewayd.device.opcua.plan, sys; sys.exit('asyncua' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_subscribed_class_is_one_plan_per_ten_thousand_tags_whatever_a_read_may_hold():
    """Servers allow few subscriptions; the driver splits reads and calls by itself."""
    subscribed = {"fast": OpcuaScanClass(mode="subscribe"), "slow": OpcuaScanClass()}
    device = OpcuaDevice(name="plc", endpoint="opc.tcp://h:1", scan_classes=subscribed, max_nodes_per_read=100)
    tags = [OpcuaTag(name=f"t{n}", node_id=f"ns=2;i={n}", scan_class="fast") for n in range(10_001)]
    tags.append(OpcuaTag(name="last", node_id="ns=2;s=x", scan_class="slow"))
    plans = plan_reads(device, list(enumerate(tags)), 3)
    assert [(plan.index, plan.codec, len(plan.rows)) for plan in plans] == [
        (3, Codec.OPCUA_NOTIFICATION, 10_000), (4, Codec.OPCUA_NOTIFICATION, 1), (5, Codec.OPCUA_READ, 1),
    ]  # fmt: skip


def test_elements_of_arrays_and_fields_of_structures_have_plans_of_their_own():
    tags = [(0, tag("a", element="3")), (1, tag("b")), (2, tag("a", element=".Speed")), (3, tag("c", element="2,1"))]
    plans = plan_reads(plant(), tags, 0)
    assert [([row.row for row in plan.rows], plan.codec) for plan in plans] == [
        ([1], Codec.OPCUA_READ), ([0, 3], Codec.OPCUA_READ), ([2], Codec.COLUMNS),
    ]  # fmt: skip
    assert plans[1].request == ("ns=2;s=a", "ns=2;s=c")


def test_what_is_no_path_of_an_element_is_an_error():
    with pytest.raises(ConfigError, match="not the path"):
        plan_reads(plant(), [(0, tag("a", element="1:3"))], 0)
