"""One connection to a real broker, and to peers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

import pytest

from gatewayd.errors import LinkError
from gatewayd.sync import link as link_module
from gatewayd.sync.endpoint import Endpoint, endpoint_of
from gatewayd.sync.link import Confirmed, Link, Received
from hil.ports import free_port
from tests.sync.certificates import write_certificates

CONNACK = bytes.fromhex("2003000000")
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Owner:
    """A link and its news."""

    def __init__(self, endpoint: Endpoint, name: str = "one", **options: int) -> None:
        self.news = asyncio.Event()
        self.link = Link(endpoint, name, self.news.set, **options)

    async def events(self, count: int = 1) -> list[Received | Confirmed]:
        got: list[Received | Confirmed] = []
        async with asyncio.timeout(5):
            while len(got) < count:
                await self.news.wait()
                self.news.clear()
                got += self.link.drain()
        return got

    async def until_lost(self) -> None:
        async with asyncio.timeout(5):
            while not self.link.lost:
                await self.news.wait()
                self.news.clear()


@contextlib.asynccontextmanager
async def peer(behave: Peer, tls: ssl.SSLContext | None = None):
    """A server that does what the test says; it gives the endpoint to connect to."""
    done = asyncio.Event()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await behave(reader, writer)
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], None)
    finally:
        done.set()
        server.close()
        if serving:
            await asyncio.wait(serving, timeout=5)
        await server.wait_closed()


async def test_a_message_travels_and_both_ends_hear_of_it(broker):
    sender, receiver = Owner(endpoint_of(broker.cloud()), "sender"), Owner(endpoint_of(broker.cloud()), "receiver")
    await receiver.link.connect()
    await receiver.link.subscribe("gw/a/ack", "gw/b/ack")
    await sender.link.connect()
    token = sender.link.publish("gw/b/ack", b"hello")
    assert await sender.events() == [Confirmed(token, 0)]
    (message,) = await receiver.events()
    assert (message.topic, message.payload) == ("gw/b/ack", b"hello")
    message.confirm()
    await sender.link.close()
    await receiver.link.close()


async def test_without_a_broker_the_error_says_what_to_do():
    with pytest.raises(LinkError) as refusal:
        await Owner(Endpoint("127.0.0.1", free_port(), None)).link.connect()
    assert refusal.value.remedy == "Start the broker or correct [cloud] host and port."


async def test_a_killed_broker_is_noticed_and_publishing_is_refused(broker):
    owner = Owner(endpoint_of(broker.cloud()))
    await owner.link.connect()
    broker.kill()
    await owner.until_lost()
    with pytest.raises(LinkError):
        owner.link.publish("gw/a/up/journal", b"x")
    await owner.link.close()
    await owner.link.close()


async def test_a_silent_peer_times_out(monkeypatch):
    async def silent(reader, writer):
        await reader.read(1)

    monkeypatch.setattr(link_module, "CONNECT_TIMEOUT_S", 0.2)
    async with peer(silent) as endpoint:
        with pytest.raises(LinkError, match="no answer"):
            await Owner(endpoint).link.connect()


async def test_a_peer_that_hangs_up_before_answering_is_an_error_not_a_wait():
    async def rude(reader, writer):
        await reader.read(1)
        writer.close()

    async with peer(rude) as endpoint:
        with pytest.raises(LinkError):
            await Owner(endpoint).link.connect()


async def test_a_broker_without_mqtt_5_is_refused_not_downgraded_to():
    connects: list[bytes] = []

    async def old(reader, writer):
        connects.append(await reader.read(1000))
        writer.write(bytes.fromhex("20020001"))  # CONNACK: unacceptable protocol version
        await writer.drain()
        connects.append(await reader.read(1000))

    async with peer(old) as endpoint:
        with pytest.raises(LinkError, match="refused") as refusal:
            await Owner(endpoint).link.connect()
    assert "MQTT 5" in refusal.value.remedy
    assert connects[0][8] == 5  # the protocol level in the CONNECT
    assert connects[1:] in ([], [b""])  # and no second, older CONNECT


async def test_a_refused_connect_is_an_error_with_a_remedy():
    async def not_authorised(reader, writer):
        await reader.read(1000)
        writer.write(bytes.fromhex("2003008700"))
        await writer.drain()

    async with peer(not_authorised) as endpoint:
        with pytest.raises(LinkError, match="Not authorized"):
            await Owner(endpoint).link.connect()


@pytest.mark.parametrize(("receive_maximum", "window"), [(1, 1), (2, 1), (20, 19)])
async def test_the_window_stays_below_the_brokers_receive_maximum(receive_maximum, window):
    async def narrow(reader, writer):
        await reader.read(1000)
        writer.write(bytes.fromhex("2006000003") + b"\x21" + receive_maximum.to_bytes(2, "big"))
        await writer.drain()

    async with peer(narrow) as endpoint:
        owner = Owner(endpoint)
        session = await owner.link.connect()
        await owner.link.close()
    assert session.window == window


async def test_a_broker_that_takes_only_short_packets_is_obeyed():
    async def small(reader, writer):
        await reader.read(1000)
        writer.write(bytes.fromhex("2008000005") + b"\x27" + (4096).to_bytes(4, "big"))
        await writer.drain()

    async with peer(small) as endpoint:
        owner = Owner(endpoint)
        session = await owner.link.connect()
        await owner.link.close()
    assert session.payload_max == 4096 - link_module.HEADROOM_BYTES


async def test_a_refusing_puback_is_not_taken_for_a_delivery():
    async def quota(reader, writer):
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.write(bytes.fromhex("400400019700"))  # PUBACK 1: quota exceeded
        await writer.drain()

    async with peer(quota) as endpoint:
        owner = Owner(endpoint)
        await owner.link.connect()
        assert owner.link.publish("gw/a/up/journal", b"x") == 1
        assert await owner.events() == [Confirmed(1, 0x97)]
        await owner.link.close()


async def test_a_puback_for_nothing_of_ours_is_not_an_event():
    async def chatty(reader, writer):
        await reader.read(1000)
        writer.write(CONNACK + bytes.fromhex("40020009") * 1000)
        await reader.read(1000)
        writer.write(bytes.fromhex("40020001"))
        await writer.drain()

    async with peer(chatty) as endpoint:
        owner = Owner(endpoint)
        await owner.link.connect()
        owner.link.publish("gw/a/up/journal", b"x")
        assert await owner.events() == [Confirmed(1, 0)]
        await owner.link.close()


async def test_a_packet_longer_than_we_announced_ends_the_connection():
    """200 MB must not be read into memory to be refused."""
    fed = 0

    async def endless(reader, writer):
        nonlocal fed
        await reader.read(1000)
        writer.write(CONNACK + bytes.fromhex("32ffffff7f"))
        while fed < 200_000_000:
            writer.write(b"\0" * 65_536)
            await writer.drain()
            fed += 65_536

    async with peer(endless) as endpoint:
        owner = Owner(endpoint)
        with contextlib.suppress(LinkError):  # the flood may come before connect returns
            await owner.link.connect()
        await owner.until_lost()
        await owner.link.close()
    assert fed < 20_000_000


async def test_messages_beyond_the_inbox_are_dropped_and_counted(broker):
    sender = Owner(endpoint_of(broker.cloud()), "sender")
    receiver = Owner(endpoint_of(broker.cloud()), "receiver", inbox_max=2)
    await receiver.link.connect()
    await receiver.link.subscribe("gw/a/ack")
    await sender.link.connect()
    for _ in range(5):
        sender.link.publish("gw/a/ack", b"x")
    async with asyncio.timeout(5):
        while receiver.link.dropped < 3:
            await receiver.news.wait()
            receiver.news.clear()
    assert len(receiver.link.drain()) == 2
    await sender.link.close()
    await receiver.link.close()


def tls_contexts(folder) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    write_certificates(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    server.load_verify_locations(folder / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    client.load_verify_locations(folder / "ca.pem")
    return server, client


async def answer_connect(reader, writer):
    await reader.read(1000)
    writer.write(CONNACK)
    await writer.drain()


async def test_tls_with_a_client_certificate_connects(tmp_path):
    server, client = tls_contexts(tmp_path)
    client.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    async with peer(answer_connect, server) as endpoint:
        owner = Owner(Endpoint("127.0.0.1", endpoint.port, client))
        await owner.link.connect()
        await owner.link.close()


async def test_a_missing_client_certificate_is_an_error_not_a_wait(tmp_path):
    server, client = tls_contexts(tmp_path)
    async with peer(answer_connect, server) as endpoint:
        with pytest.raises(LinkError):
            await Owner(Endpoint("127.0.0.1", endpoint.port, client)).link.connect()


async def test_a_broker_with_a_foreign_certificate_is_not_trusted(tmp_path):
    server, _ = tls_contexts(tmp_path)
    (tmp_path / "other").mkdir()
    _, client = tls_contexts(tmp_path / "other")
    async with peer(answer_connect, server) as endpoint:
        with pytest.raises(LinkError, match="TLS failed"):
            await Owner(Endpoint("127.0.0.1", endpoint.port, client)).link.connect()
