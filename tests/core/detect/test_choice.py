"""What `detect = "auto"` chooses."""

from __future__ import annotations

import pytest

from gatewayd.core.detectors import instances, with_choice
from gatewayd.model.config import Contract
from gatewayd.model.detectors import Cusum
from gatewayd.model.device import ModbusTag


def chosen(contract: Contract, *, default: str = "off", **tag: object) -> list[str]:
    keys = {"name": "t", "register_type": "holding", "address": 1, "type": "float32", "access": "r"}
    found = with_choice(contract, ModbusTag(**(keys | tag)), default=default)
    return [instance.detector.name for instance in instances(found)]


AUTO = Contract(units="degC", detect="auto")


def test_a_measured_number_with_units_is_watched():
    assert chosen(AUTO) == ["committee"]


def test_units_of_the_tag_list_count_too():
    assert chosen(Contract(detect="auto"), units="bar") == ["committee"]


@pytest.mark.parametrize(
    ("contract", "tag"),
    [
        (AUTO, {"type": "bool"}),
        (AUTO, {"bit": 3}),
        (AUTO, {"type": "string"}),
        (AUTO, {"access": "rw"}),
        (AUTO, {"access": "w"}),
        (Contract(detect="auto"), {}),
        (Contract(units="kWh", detect="auto"), {}),
    ],
    ids=["bool", "bit", "text", "set point", "write-only", "no units", "counter"],
)
def test_what_has_no_past_to_break_with_is_left_alone(contract, tag):
    assert chosen(contract, **tag) == []


def test_a_detector_named_in_the_contract_wins():
    assert chosen(Contract(units="degC", detect="auto", cusum=Cusum())) == ["cusum"]


def test_the_asset_type_speaks_for_tags_that_say_nothing():
    assert chosen(Contract(units="degC"), default="auto") == ["committee"]
    assert chosen(Contract(units="degC", detect="off"), default="auto") == []
    assert chosen(Contract(units="degC")) == []
