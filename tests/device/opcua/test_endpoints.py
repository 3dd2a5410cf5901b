"""What a server offers, from a server that is real."""

from __future__ import annotations

import hashlib
import socket

import pytest

from gatewayd.device.opcua.endpoints import ask_for_endpoints
from gatewayd.errors import DeviceProtocolError, DeviceUnreachable


async def test_policies_modes_and_the_certificate_are_listed(secure_server, server_certificate):
    offer = await ask_for_endpoints(secure_server.endpoint, 2000)
    offered = {(each.policy, each.mode, each.is_usable) for each in offer.endpoints}
    assert offered == {
        ("None", "None", True),
        *(
            (policy, mode, True)
            for policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
            for mode in ("Sign", "SignAndEncrypt")
        ),
    }
    (certificate,) = offer.certificates
    assert certificate.der == server_certificate.der
    assert certificate.sha256 == hashlib.sha256(server_certificate.der).hexdigest()
    assert certificate.subject == "plc"
    assert certificate.application_uri == "urn:freeopcua:python:server"
    assert certificate.expires == server_certificate.expires.isoformat()
    assert {"Anonymous", "UserName"} <= set(offer.endpoints[0].user_tokens)
    assert offer.application_uri == "urn:freeopcua:python:server"


async def test_a_server_without_a_certificate_is_listed_too(plant_server):
    offer = await ask_for_endpoints(plant_server.endpoint, 2000)
    assert [(each.policy, each.certificate_sha256) for each in offer.endpoints] == [("None", "")]
    assert offer.certificates == ()


async def test_nobody_there_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DeviceUnreachable):
        await ask_for_endpoints(f"opc.tcp://127.0.0.1:{port}", 2000)


async def test_an_address_without_a_host_is_refused():
    with pytest.raises(DeviceProtocolError, match="names no host"):
        await ask_for_endpoints("opc.tcp://", 2000)
