"""The gmqtt door: one connection to the broker, used once and thrown away.

gmqtt is kept to what it does well (packets and keep-alive). Its reconnecting, its queue in RAM, its downgrade to MQTT
3.1.1 and its unbounded read buffer are taken out; its PUBACK handler is replaced, because it takes a refused message
for a delivered one. Nothing here runs the caller's code inside gmqtt's callbacks, which swallow exceptions: what
happened waits in a bounded inbox until the owner drains it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gmqtt
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.subscription import Subscription
from msgspec import Struct

from gatewayd.errors import LinkError
from gatewayd.sync.endpoint import Endpoint

CONNECT_TIMEOUT_S = 30.0
SUBSCRIBE_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 2.0
INBOUND_BYTES_MAX = 65_536
RECEIVE_MAXIMUM = 32  # unconfirmed messages the broker may have under way towards us
HEADROOM_BYTES = 512  # topic, properties and headers around a payload
_REFUSED_VERSION = 1

# Without a handler Python prints the library's warnings on stderr; our errors say the same with a remedy.
logging.getLogger("gmqtt").addHandler(logging.NullHandler())


class Received(Struct, frozen=True):
    """A message arrived. `confirm()` sends its PUBACK; until then the broker counts it against us."""

    topic: str
    payload: bytes
    confirm: Callable[[], None]


class Confirmed(Struct, frozen=True):
    """The broker answered a publish; `reason` >= 0x80 is a refusal."""

    token: int
    reason: int


Event = Received | Confirmed


class Session(Struct, frozen=True):
    """What the broker allows on this connection."""

    window: int  # messages without a PUBACK
    payload_max: int  # bytes


class _OneShot(gmqtt.Client):  # type: ignore[misc]  # gmqtt has no types
    """gmqtt's client without its own ideas of reconnecting, downgrading and reading without limit."""

    def reconnect(self, **_delay: bool) -> asyncio.Future[None]:
        """Do nothing but let a waiting `connect` fail; called after a loss and after some refusals.

        gmqtt makes a task of what it gets here; a future that is done leaves none behind to be cancelled at shutdown.
        """
        handler = self._package_handler
        if not self._connack_received.is_set():
            handler._error = handler._error or MQTTConnectError(_REFUSED_VERSION)
            self._connack_received.set()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def _create_connection(self, *args: Any, **kwargs: Any) -> Any:
        connection = await super()._create_connection(*args, **kwargs)
        protocol = connection._protocol
        protocol._read_packet = partial(_read_bounded, protocol, protocol._read_packet)
        return connection


def _read_bounded(protocol: Any, read_packet: Callable[[bytes], int], buffered: bytes) -> int:
    """Abort the connection when the packet being assembled is longer than we announced."""
    parsed = read_packet(buffered)
    if parsed >= 0 and _announced_size(buffered[parsed : parsed + 5]) > INBOUND_BYTES_MAX:
        protocol._transport.abort()
        return -1
    return parsed


def _announced_size(header: bytes) -> int:
    """Return the remaining length in a fixed header, as far as it has arrived."""
    size = 0
    for place, byte in enumerate(header[1:5]):
        size |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            break
    return size


class Link:
    """One connection. Use it from the event loop's thread; after a loss make a new one.

    Args:
        wake: called, cheaply, whenever `drain` or `lost` has something new.
        inbox_max: messages that may wait for `drain`; beyond it they are dropped unconfirmed and counted.
    """

    def __init__(self, endpoint: Endpoint, client_id: str, wake: Callable[[], None], *, inbox_max: int = 256) -> None:
        self.dropped = 0
        self.lost = ""  # why the connection ended; empty while it is up
        self._endpoint = endpoint
        self._wake = wake
        self._inbox: deque[Event] = deque()
        self._inbox_max = inbox_max
        self._granted: asyncio.Future[Sequence[int]] | None = None
        self._client = _OneShot(
            client_id,
            clean_session=True,
            receive_maximum=RECEIVE_MAXIMUM,
            maximum_packet_size=INBOUND_BYTES_MAX,
        )
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        handler = self._client._package_handler
        handler._handle_puback_packet = self._on_puback
        handler._handle_qos_1_publish_packet = self._on_publish

    async def connect(self) -> Session:
        """Open the connection, MQTT 5 or nothing.

        Raises:
            LinkError: no broker, refused, or no answer in time.
        """
        there = f"broker {self._endpoint.host}:{self._endpoint.port}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._client.connect(
                    self._endpoint.host,
                    self._endpoint.port,
                    ssl=self._endpoint.tls or False,
                    keepalive=self._endpoint.keepalive_s,
                )
        except BaseException as error:
            self._abort()
            if isinstance(error, (OSError, MQTTConnectError)):  # TimeoutError is an OSError
                raise _connect_error(there, error) from error
            raise
        return self._session(there)

    async def subscribe(self, *topics: str) -> None:
        """Subscribe at QoS 1 and wait for the broker's consent.

        Raises:
            LinkError: refused, or no answer in time.
        """
        self._granted = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                self._client.subscribe([Subscription(topic, qos=1) for topic in topics])
                granted = await self._granted
        except (TimeoutError, OverflowError) as error:
            raise _lost(f"the broker does not answer the subscription to {', '.join(topics)}") from error
        refused = [topic for topic, code in zip(topics, granted, strict=False) if code >= 0x80]
        if refused or len(granted) != len(topics):
            raise LinkError(
                f"the broker refuses the subscription to {', '.join(refused or topics)}",
                remedy="Let this client's certificate read these topics in the broker's access list.",
            )

    def publish(self, topic: str, payload: bytes) -> int:
        """Send at QoS 1 and return the packet identifier that `Confirmed` will name.

        Raises:
            LinkError: the connection is gone or the broker's window is full.
        """
        if self.lost or not self._client.is_connected:
            raise _lost(self.lost or "the connection to the broker is closed")
        try:
            # Past Client.publish on purpose: that keeps a copy of every payload in RAM.
            token, _ = self._client._connection.publish(gmqtt.Message(topic, payload, qos=1))
        except OverflowError as error:
            raise _lost("the broker's window is full") from error
        return int(token)

    def drain(self) -> list[Event]:
        """Return what arrived since the last call."""
        events = list(self._inbox)
        self._inbox.clear()
        return events

    async def close(self) -> None:
        """Say goodbye if the broker listens, then cut; safe to call twice."""
        if self._client._connection is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._client.disconnect()
        except OSError:
            self.lost = self.lost or "the connection broke while closing"
        finally:
            self._abort()

    def _abort(self) -> None:
        self.lost = self.lost or "closed"
        connection = self._client._connection
        if connection is not None:
            connection._keep_connection_callback.cancel()
            connection._transport.abort()

    def _session(self, there: str) -> Session:
        properties = self._client._package_handler._connack_properties
        if properties.get("maximum_qos", [1])[0] < 1:
            self._abort()
            raise LinkError(f"{there} allows no QoS 1", remedy="Use a broker that allows QoS 1.")
        # One identifier stays free: gmqtt's allocator never hands out the last one.
        window = max(1, properties.get("receive_maximum", [65_535])[0] - 1)
        packet_max = min(INBOUND_BYTES_MAX, properties.get("maximum_packet_size", [INBOUND_BYTES_MAX])[0])
        return Session(window, packet_max - HEADROOM_BYTES)

    def _on_publish(self, mid: int, payload: bytes, topic: str, _properties: dict[str, Any]) -> None:
        if len(self._inbox) >= self._inbox_max:
            self.dropped += 1
            self._wake()
            return
        confirm = partial(self._confirm, mid)
        self._inbox.append(Received(topic, payload, confirm))
        self._wake()

    def _confirm(self, mid: int) -> None:
        if not self.lost and self._client.is_connected:
            self._client._package_handler._send_puback(mid)

    def _on_puback(self, _cmd: int, packet: bytes) -> None:
        mid = int.from_bytes(packet[:2], "big")
        generator = self._client._package_handler.id_generator
        if mid not in generator._used_ids:
            return  # answers nothing of ours; only real answers, at most a window of them, may fill the inbox
        generator.free_id(mid)
        self._inbox.append(Confirmed(mid, packet[2] if len(packet) > 2 else 0))
        self._wake()

    def _on_subscribe(self, _client: Any, _mid: int, granted: Sequence[int], _properties: Any) -> None:
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(granted)

    def _on_disconnect(self, _client: Any, packet: Any, _exc: Any = None) -> None:
        reason = f", reason 0x{packet[0]:02x}" if isinstance(packet, bytes) and packet else ""
        self.lost = self.lost or f"the broker closed the connection{reason}"
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(())
        self._wake()


def _lost(what: str) -> LinkError:
    return LinkError(what, remedy="Nothing to do: records are kept and sent again after the reconnect.")


def _connect_error(there: str, error: Exception) -> LinkError:
    if isinstance(error, ssl.SSLError):
        remedy = "Check ca_file, certificate_file and key_file, their dates, and this machine's clock."
        return LinkError(f"{there}: TLS failed: {error}", remedy=remedy)
    if isinstance(error, TimeoutError):
        remedy = "Check the route and firewall; a broker that demands a client certificate may also stay silent."
        return LinkError(f"{there}: no answer in {CONNECT_TIMEOUT_S:.0f} s", remedy=remedy)
    if isinstance(error, MQTTConnectError):
        remedy = "The broker must speak MQTT 5 and accept this client's id and certificate; see the broker's log."
        return LinkError(f"{there} refused the connection: {error}", remedy=remedy)
    return LinkError(f"{there}: {error}", remedy="Start the broker or correct [cloud] host and port.")
