"""Node ids as written in a tag list."""

from __future__ import annotations

import uuid

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_from_binary
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.opcua.node_id import encode_node_id, namespace_index, parse_node_id
from gatewayd.errors import ConfigError

GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"
WRITTEN = {
    "i=85": (0, 85),
    "i=255": (0, 255),
    "i=256": (0, 256),
    "ns=255;i=65535": (255, 65_535),
    "ns=0;i=2258": (0, 2258),
    "ns=2;i=65536": (2, 65_536),
    "ns=300;i=1": (300, 1),
    "ns=2;i=4294967295": (2, 4_294_967_295),
    "ns=2;s=Pump 1.Speed": (2, "Pump 1.Speed"),
    "ns=2;s=a;b=c;ns=4": (2, "a;b=c;ns=4"),
    "s=Größe": (0, "Größe"),
    f"ns=3;g={GUID}": (3, uuid.UUID(GUID)),
    "ns=1;b=M/RbKBsRVkePCePcx24oRA==": (1, bytes.fromhex("33f45b281b1156478f09e3dcc76e2844")),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_asyncua_decodes_our_encoding_to_the_node_that_was_written(text):
    node = parse_node_id(text)
    index, identifier = WRITTEN[text]
    assert node.namespace == index
    decoded = nodeid_from_binary(ua.utils.Buffer(encode_node_id(node, index)))
    assert (decoded.NamespaceIndex, decoded.Identifier) == (index, identifier)


def test_a_namespace_uri_is_looked_up_in_the_servers_array():
    node = parse_node_id("nsu=http://vendor.example/plc;s=Tank.Level")
    assert namespace_index(node, ["http://opcfoundation.org/UA/", "urn:a", "http://vendor.example/plc"]) == 2
    assert namespace_index(node, ["http://opcfoundation.org/UA/"]) is None


def test_a_semicolon_in_a_uri_is_written_escaped():
    assert parse_node_id("nsu=urn:a%3Bb%2525;i=1").namespace == "urn:a;b%2525".replace("%25", "%")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not i=, s=, g= or b="),
        ("Pump1", "not i=, s=, g= or b="),
        (" i=1", "spaces"),
        ("ns=2", "no `;`"),
        ("ns=2;", "not i=, s=, g= or b="),
        ("ns=65536;i=1", "0 to 65535"),
        ("ns=-1;i=1", "0 to 65535"),
        ("ns=2;i=4294967296", "0 to 4294967295"),
        ("ns=2;i=1.0", "0 to 4294967295"),
        ("ns=2;i=٣", "0 to 4294967295"),
        ("nsu=;s=x", "URI is empty"),
        ("ns=2;s=", "1 to 4096 bytes"),
        ("ns=2;s=" + "x" * 4097, "1 to 4096 bytes"),
        ("ns=2;s=\ud800", "Unicode"),
        ("ns=2;g=1234", "GUID"),
        ("ns=2;b=!!!", "base64"),
        ("ns=2;b=", "1 to 4096 bytes"),
        ("x" * 9000, "9000 characters"),
    ],
)
def test_what_is_no_node_id_is_refused_with_the_part_that_is_wrong(text, says):
    with pytest.raises(ConfigError) as refused:
        parse_node_id(text)
    assert says in refused.value.message
    assert "nsu=URI;s=NAME" in refused.value.remedy
    assert len(refused.value.message) < 300


@given(st.text(max_size=60))
def test_any_text_is_a_node_id_or_a_config_error(text):
    try:
        node = parse_node_id(text)
    except ConfigError:
        return
    assert encode_node_id(node, 1)


@given(st.sampled_from(["i", "s", "g", "b"]), st.text(max_size=40))
def test_any_identifier_is_a_node_id_or_a_config_error(kind, text):
    try:
        encoded = encode_node_id(parse_node_id(f"ns=7;{kind}={text}"), 7)
    except ConfigError:
        return
    assert nodeid_from_binary(ua.utils.Buffer(encoded)).NamespaceIndex == 7
