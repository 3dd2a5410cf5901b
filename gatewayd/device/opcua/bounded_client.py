"""asyncua's client with an end to everything a server may send, and without its background tasks."""

from __future__ import annotations

import asyncio
import logging

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import uatcp_to_binary
from asyncua.ua.uaerrors._base import UaError

from gatewayd.device.opcua.plain_chunk import opened
from gatewayd.model.device import OpcuaDevice

CHUNK_BYTES_MAX = 65_536
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
CHUNKS_MAX = 1024
PEER_CHUNK_BYTES_MIN = 8192  # Part 6, 7.1.2.3
SESSION_MS_MIN = 60_000  # a PLC has few session slots; one that we lose in a crash must come free soon

logging.getLogger("asyncua").setLevel(logging.WARNING)  # INFO formats whole results


class _ReceiveLimits(TransportLimits):
    """Our limits for what we receive; the server's buffer size only for what we send (asyncua mixes the two up)."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        if msg.ReceiveBufferSize < PEER_CHUNK_BYTES_MIN:
            raise UaError(f"the server's receive buffer of {msg.ReceiveBufferSize} bytes is below the standard's 8192")
        self.max_send_buffer = min(msg.ReceiveBufferSize, CHUNK_BYTES_MAX - 1)


class _Protocol(UASocketProtocol):
    """asyncua's protocol, with an end to what an unfinished chunk may pile up."""

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> ua.Acknowledge:
        """Say hello with our own chunk size: asyncua announces 2 GiB, and a server that believes it is cut off."""
        hello = ua.Hello(
            ReceiveBufferSize=ua.UInt32(CHUNK_BYTES_MAX),
            SendBufferSize=ua.UInt32(CHUNK_BYTES_MAX),
            MaxMessageSize=ua.UInt32(max_messagesize),
            MaxChunkCount=ua.UInt32(max_chunkcount),
            EndpointUrl=ua.String(url),
        )
        acknowledged: asyncio.Future[ua.Acknowledge] = asyncio.get_running_loop().create_future()
        self._callbackmap[0] = acknowledged
        if self.transport is not None:
            self.transport.write(uatcp_to_binary(ua.MessageType.Hello, hello))  # type: ignore[arg-type]
        async with asyncio.timeout(self.timeout):
            return await acknowledged

    def data_received(self, data: bytes) -> None:
        whole = None if self.receive_buffer else opened(self._connection, data, self._callbackmap)
        if whole is not None:
            request_id, body = whole
            self._call_callback(request_id, Buffer(body))
            return
        super().data_received(data)
        if (
            self.receive_buffer is not None
            and len(self.receive_buffer) > CHUNK_BYTES_MAX
            and self.transport is not None
        ):
            self.logger.error("a chunk longer than %d bytes was announced", CHUNK_BYTES_MAX)
            self.transport.abort()


class _Transport(UaClient):
    """asyncua's low-level client, made with bounded protocols."""

    def _make_protocol(self) -> UASocketProtocol:
        limits = _ReceiveLimits(CHUNK_BYTES_MAX, CHUNK_BYTES_MAX - 1, CHUNKS_MAX, MESSAGE_BYTES_MAX)
        self.protocol = _Protocol(self._timeout, security_policy=self.security_policy, limits=limits)
        self.protocol.on_connection_lost = self._on_transport_lost
        self.protocol.is_session_closing = self._is_session_closing
        return self.protocol


class BoundedClient(Client):
    """A client for one connection: `connect()` with its background tasks is never called."""

    def __init__(self, device: OpcuaDevice, timeout_s: float) -> None:
        super().__init__(device.endpoint, timeout=timeout_s)
        self.uaclient = _Transport(timeout_s)
        self.application_uri = device.application_uri
        self.name = self.description = "gatewayd"
        self.product_uri = "urn:gatewayd"
        slowest_ms = max((max(scan.period_ms, scan.keep_alive_ms) for scan in device.scan_classes.values()), default=0)
        self.session_timeout = max(SESSION_MS_MIN, 3 * slowest_ms)
        self.max_messagesize, self.max_chunkcount = MESSAGE_BYTES_MAX, CHUNKS_MAX

    def abort(self) -> None:
        """Cut the connection, if there is one; every waiting request fails at once."""
        protocol = self.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()
