"""Servers that speak no OPC UA, or too much of it: every one ends in a device error, none in memory or in a hang."""

from __future__ import annotations

import asyncio
import struct

import pytest

from gatewayd.device.opcua.bounded_client import CHUNK_BYTES_MAX
from gatewayd.errors import DeviceError, DeviceUnreachable
from tests.device.opcua.rig import device, link_to, tag

ACKNOWLEDGE = b"ACKF" + struct.pack("<I5I", 28, 0, 65_536, 65_536, 0, 0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("gatewayd.device.opcua.session.HANDSHAKE_S_MIN", 0.5)


@pytest.fixture
async def hostile():
    """Start a server that answers the first bytes of each connection with the given ones; yields its link's endpoint."""
    servers = []

    async def serve(*answers: bytes, hang_up: bool = False) -> tuple[str, list[int]]:
        sent = [0]

        async def answer(reader, writer):
            try:
                for each in answers:
                    await reader.read(4096)
                    for start in range(0, len(each), 65_536):
                        writer.write(each[start : start + 65_536])
                        await writer.drain()
                        sent[0] += len(each[start : start + 65_536])
                if not hang_up:
                    await reader.read()
            except ConnectionError:
                pass
            finally:
                writer.close()

        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        return f"opc.tcp://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}", sent

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "answers",
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (b"\x00" * 100,),
        (b"ACKF" + struct.pack("<I", 8),),
        (b"ERRF" + struct.pack("<IIi", 16, 0x80AC0000, -1),),
        (ACKNOWLEDGE, b"OPNF" + struct.pack("<II", 20, 0) + b"\xff" * 8),
        (ACKNOWLEDGE, b"MSGF" + struct.pack("<IIII", 24, 0, 0, 1) + b"\xff" * 4),
        (ACKNOWLEDGE, ACKNOWLEDGE),
        (),
    ],
    ids=lambda answers: b" ".join(answer[:4] for answer in answers).decode("latin-1") or "silence",
)
@pytest.mark.parametrize("hang_up", [False, True])
async def test_what_is_no_opc_ua_server_ends_in_a_device_error(hostile, tmp_path, answers, hang_up):
    endpoint, _ = await hostile(*answers, hang_up=hang_up)
    with pytest.raises(DeviceError) as refused:
        await link_to(device(endpoint, timeout_ms=400), [tag("d1")], tmp_path).connect()
    assert refused.value.remedy


async def test_a_receive_buffer_below_the_standards_smallest_is_refused_at_once(hostile, tmp_path):
    """A chunk size of 1 would keep the client from ever sending a request."""
    endpoint, _ = await hostile(b"ACKF" + struct.pack("<I5I", 28, 0, 1, 1, 0, 0))
    with pytest.raises(DeviceUnreachable):
        await link_to(device(endpoint, timeout_ms=400), [tag("d1")], tmp_path).connect()


async def test_a_chunk_announced_without_end_is_cut_off_early(hostile, tmp_path):
    endpoint, sent = await hostile(ACKNOWLEDGE, b"OPNF" + struct.pack("<II", 0xFFFF_FFFF, 0) + bytes(64 * 1024 * 1024))
    with pytest.raises(DeviceError):
        await link_to(device(endpoint, timeout_ms=400), [tag("d1")], tmp_path).connect()
    assert sent[0] < 100 * CHUNK_BYTES_MAX  # what the socket buffers took, not the 64 MiB


async def test_the_server_is_told_how_long_a_chunk_may_be(tmp_path):
    """node-opcua answered a Read of 10,000 nodes in one chunk of 200 kB, because the library announces 2 GiB."""
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader, writer):
        hello.set_result(await reader.readexactly(28))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    endpoint = f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(DeviceError):
        await link_to(device(endpoint, timeout_ms=400), [tag("d1")], tmp_path).connect()
    server.close()
    await server.wait_closed()
    kind, _, _, receives, sends = struct.unpack_from("<4s4I", await hello)
    assert (kind, receives, sends) == (b"HELF", CHUNK_BYTES_MAX, CHUNK_BYTES_MAX)
