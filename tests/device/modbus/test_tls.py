"""Modbus/TCP Security: both sides show a certificate, and nobody is believed unseen."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gatewayd.device.modbus.tls import client_context
from gatewayd.errors import DeviceError, DeviceNotTrusted
from tests.device.modbus.bus_site import BusSite, site_of, tls_device
from tests.device.modbus.certificates import Identity
from tests.device.modbus.peer import Caller, Peer, answers_everything
from tests.device.modbus.plant import tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    issuer = Identity(folder, "issuer")
    for name in ("plc", "gateway", "twin"):
        Identity(folder, name, issuer)
    Identity(folder, "elsewhere", issuer, host="10.0.0.9")
    Identity(folder, "expired", issuer, expired=True)
    Identity(folder, "stranger")
    return folder


@asynccontextmanager
async def serving(folder: Path, name: str) -> AsyncIterator[Peer]:
    """A Modbus server that shows this certificate and wants one of the issuer's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    context.load_verify_locations(folder / "issuer.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    peer = Peer((answers_everything,))
    server = await asyncio.start_server(peer.play, "127.0.0.1", 0, ssl=context)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()


def trusting(**trust: str) -> dict[str, str]:
    return {"certificate": "gateway.pem", "private_key": "gateway.key", **trust}


async def read(folder: Path, server: str, **settings: str) -> object:
    async with (
        serving(folder, server) as peer,
        site_of(tls_device(peer.port, **settings), tag("a", address=7), folder=folder) as site,
    ):
        return await site.scan()


@pytest.mark.parametrize(
    ("server", "trust"),
    [
        ("plc", {"ca_file": "issuer.pem"}),
        ("plc", {"server_certificate": "plc.pem"}),
        ("elsewhere", {"server_certificate": "elsewhere.pem"}),
        ("elsewhere", {"ca_file": "issuer.pem", "server_name": "10.0.0.9"}),
    ],
    ids=["issuer", "pinned", "pinned with another name", "named"],
)
async def test_a_server_that_is_known_is_read(folder, server, trust):
    assert await read(folder, server, **trusting(**trust)) == {(1, 7): [7]}


@pytest.mark.parametrize(
    ("server", "trust"),
    [
        ("stranger", {"ca_file": "issuer.pem"}),
        ("elsewhere", {"ca_file": "issuer.pem"}),
        ("expired", {"ca_file": "issuer.pem"}),
        ("expired", {"server_certificate": "expired.pem"}),
        ("twin", {"server_certificate": "plc.pem"}),
        ("plc", {"server_certificate": "issuer.pem"}),
    ],
    ids=["another issuer", "another name", "expired", "expired and pinned", "same issuer, not pinned", "issuer pinned"],
)
async def test_any_other_is_not_trusted_and_never_asked(folder, server, trust):
    with pytest.raises(DeviceNotTrusted) as refused:
        await read(folder, server, **trusting(**trust))
    assert refused.value.remedy


async def test_a_gateway_that_the_server_does_not_know_is_refused_by_it(folder):
    own = {"certificate": "stranger.pem", "private_key": "stranger.key", "ca_file": "issuer.pem"}
    with pytest.raises(DeviceError):
        await read(folder, "plc", **own)


async def test_plain_tcp_behind_the_port_is_no_tls(folder):
    async def talks_modbus(caller: Caller) -> None:
        caller.say(b"\0\1\0\0\0\5\1\3\2\0\7")

    peer = Peer((talks_modbus,))
    server = await asyncio.start_server(peer.play, "127.0.0.1", 0)
    device = tls_device(server.sockets[0].getsockname()[1], **trusting(ca_file="issuer.pem"))
    with pytest.raises(DeviceError):
        await BusSite(device, tag(), folder=folder).link.connect()
    server.close()


@pytest.mark.parametrize("missing", ["certificate", "private_key", "ca_file"])
def test_a_file_that_cannot_be_used_is_the_devices_trouble_and_nobody_elses(folder, missing):
    """P-ISOLATE: the poller takes it for a failure of this device."""
    settings = {**trusting(ca_file="issuer.pem"), missing: "nowhere.pem"}
    with pytest.raises(DeviceNotTrusted, match=r"nowhere\.pem"):
        client_context(tls_device(802, **settings), folder)


def test_a_key_of_another_certificate_is_refused(folder):
    settings = trusting(ca_file="issuer.pem") | {"private_key": "plc.key"}
    with pytest.raises(DeviceNotTrusted):
        client_context(tls_device(802, **settings), folder)
