"""JSON Schema 2020-12 of every kind of file in a site, for editors and for people who generate sites."""

from __future__ import annotations

import json

import msgspec

from gatewayd.model.config import GatewayFile, PolicyFile, TwinFile
from gatewayd.model.device import DeviceFile, ModbusTag, OpcuaTag
from gatewayd.site.tag_list import COLUMNS

FILES = {
    "gateway.toml": GatewayFile,
    "devices/*.toml": DeviceFile,
    "twins/*.toml": TwinFile,
    "policies/*.toml": PolicyFile,
}


def site_schema() -> dict[str, object]:
    """Return one document: `$defs` holds every table, `anyOf` the kinds of TOML files, `x-tag-lists` the CSV columns."""
    (*files, _, _), components = msgspec.json.schema_components(
        (*FILES.values(), ModbusTag, OpcuaTag), ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gatewayd site configuration",
        "description": "Each TOML file of a site is one of these; the table of keys is the same as `gatewayd config check` uses.",
        "anyOf": [{"title": name, **reference} for name, reference in zip(FILES, files, strict=True)],
        "x-tag-lists": {
            kind.__name__: {
                "columns": list(columns),
                "required": [name for name, column in columns.items() if column.required],
            }
            for kind, columns in COLUMNS.items()
        },
        "$defs": components,
    }


def schema_text() -> str:
    """Return the schema as it is kept in `config/schema.json`."""
    return json.dumps(site_schema(), indent=2) + "\n"
