"""Every violation of a table's shape is found in one pass, each with what is allowed."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from gatewayd.model.config import AssetType, Contract, GatewayFile, Point, Rule
from gatewayd.model.device import ModbusTcpDevice, OpcuaDevice
from gatewayd.site.problem import Findings
from gatewayd.site.shape import Fitter
from gatewayd.site.source import Origin, Source


def fit(text, kind, path=()):
    findings = Findings()
    source = Source("file.toml", text)
    fitter = Fitter(findings)
    return fitter.fit(tomllib.loads(text), kind, Origin(source, path)), findings.all(), fitter


def test_a_sound_table_becomes_its_struct():
    contract, problems, _ = fit('units = "m"\nlow = 0\nhigh = 4.5\newma = { alpha = 0.1 }', Contract)

    assert problems == ()
    assert (contract.low, contract.high, contract.ewma.alpha) == (0.0, 4.5, 0.1)


def test_all_violations_of_one_table_are_reported_at_once_with_their_lines():
    text = 'units = 5\nlow = "cold"\nhihg = 4\nmax_rate = 0\n[ewma]\nalpha = 2\nwarmup = 1.5\n'

    contract, problems, _ = fit(text, Contract)

    assert [(p.line, p.key, p.found, p.allowed) for p in problems if p.key != "hihg"] == [
        (1, "units", "5", "text in quotes"),
        (2, "low", "'cold'", "a number"),
        (4, "max_rate", "0", "a number above 0"),
        (6, "ewma.alpha", "2", "a number above 0, at most 1"),
        (7, "ewma.warmup", "1.5", "a whole number from 2 to 1000000"),
    ]
    assert contract == Contract(ewma=msgspec.convert({}, type=type(contract.ewma)))


def test_an_unknown_key_names_the_nearest_right_one_and_keeps_its_value_to_itself():
    _, problems, _ = fit('hihg = "s3cret"', Contract)

    assert problems[0].message == "hihg: there is no key 'hihg' here; did you mean high?"
    assert problems[0].nearest == "high"
    assert "s3cret" not in str(problems)


def test_a_missing_key_says_what_belongs_there():
    device, problems, fitter = fit('name = "a"', ModbusTcpDevice, ("device",))

    assert device is None
    assert [(p.key, p.message) for p in problems] == [
        ("device.host", "device.host is missing; allowed is text in quotes")
    ]
    assert fitter.lost == [("device",)]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1" + "0" * 400])
def test_a_number_that_is_not_finite_is_refused(number):
    _, problems, _ = fit(f"low = {number}", Contract)

    assert [p.key for p in problems] == ["low"]


@pytest.mark.parametrize("value", ["true", '"300"', "3.0", "1979-05-27", "[1]", "{ a = 1 }", "-1", "300"])
def test_a_whole_number_is_a_whole_number(value):
    findings = Findings()
    text = f'protocol = "modbus-tcp"\nname = "a"\nhost = "h"\nunit_id = {value}'

    Fitter(findings).fit_tagged(tomllib.loads(text), (ModbusTcpDevice, OpcuaDevice), Origin(Source("f", text)))

    assert [p.key for p in findings.all()] == ["unit_id"]
    assert findings.all()[0].allowed == "a whole number from 0 to 255"


def test_true_is_not_one_where_only_zero_and_one_are_allowed():
    _, problems, _ = fit('name = "a"\nhost = "h"\naddress_base = true', ModbusTcpDevice)

    assert problems[0].message == "address_base is true; allowed is 0, 1"


def test_a_wrong_choice_lists_all_and_guesses_the_one_that_was_meant():
    findings = Findings()
    text = 'protocol = "modbus_tcp"\nname = "a"'

    device = Fitter(findings).fit_tagged(tomllib.loads(text), (ModbusTcpDevice, OpcuaDevice), Origin(Source("f", text)))

    assert device is None
    (problem,) = findings.all()
    assert (problem.allowed, problem.nearest) == ("modbus-tcp, opcua", "modbus-tcp")


def test_a_number_in_quotes_is_told_to_lose_them():
    _, problems, _ = fit('name = "a"\nhost = "h"\nport = "502"', ModbusTcpDevice)

    assert problems[0].remedy == "Write 502 without quotes."


def test_a_broken_element_is_left_out_and_the_others_keep_their_places():
    text = '[tags]\n[[rule]]\nid = "a b"\nwhen = "true"\n[[rule]]\nid = "good"\nwhen = "true"\n'

    asset_type, problems, fitter = fit(text, AssetType)

    assert [rule.id for rule in asset_type.rule] == ["good"]
    assert fitter.kept[("rule",)] == [1]
    assert [(p.line, p.key) for p in problems] == [(3, "rule[0].id")]


def test_a_name_may_not_end_in_a_newline():
    _, problems, _ = fit('id = "good\\n"\nwhen = "true"', Rule)

    assert [p.key for p in problems] == ["id"]


def test_a_text_has_a_limit():
    _, problems, _ = fit(f'tag = "a.b"\nowner = "{"x" * 10_001}"', Point)

    assert [p.key for p in problems] == ["owner"]
    assert len(problems[0].message) < 200


def test_tables_in_tables_are_checked_to_the_bottom():
    _, problems, _ = fit('[gateway]\nname = "UPPER"\n[storage]\ncommit = "sometimes"\n[clod]\n', GatewayFile)

    assert [(p.key, p.nearest) for p in problems] == [("gateway.name", ""), ("storage.commit", ""), ("clod", "cloud")]
