from __future__ import annotations

import json
from pathlib import Path

from gatewayd.site.schema import schema_text, site_schema

KEPT = Path(__file__).resolve().parents[2] / "config/schema.json"


def test_the_schema_kept_with_the_example_is_the_generated_one():
    """Refresh it with `gatewayd config schema --out config/schema.json`."""
    assert KEPT.read_text() == schema_text()


def test_the_schema_describes_every_kind_of_file_and_refuses_unknown_keys():
    schema = site_schema()

    assert [part["title"] for part in schema["anyOf"]] == [
        "gateway.toml",
        "devices/*.toml",
        "twins/*.toml",
        "policies/*.toml",
    ]
    assert {part["$ref"].removeprefix("#/$defs/") for part in schema["anyOf"]} <= set(schema["$defs"])
    assert schema["$defs"]["Point"]["additionalProperties"] is False
    assert schema["$defs"]["ModbusTcpDevice"]["properties"]["unit_id"]["maximum"] == 255
    assert schema["x-tag-lists"]["ModbusTag"]["required"] == ["name", "register_type", "address"]


def test_every_reference_of_the_schema_leads_somewhere():
    schema = site_schema()
    references = {part.split('"')[0] for part in json.dumps(schema).split('"$ref": "#/$defs/')[1:]}

    assert references <= set(schema["$defs"])
    assert len(references) > 15
