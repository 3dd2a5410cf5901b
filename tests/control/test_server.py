"""The local API against a real Unix socket, the standard library's client and raw bytes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import stat
from pathlib import Path

import pytest
import uvloop

from gatewayd.clock import SystemClock
from gatewayd.control.connection import Limits
from gatewayd.control.peer import Authority
from gatewayd.control.server import ControlServer, SocketInUse, SocketUnusable
from gatewayd.model.config import Roles
from gatewayd.observe.events import EventLog
from tests.clock import ManualClock
from tests.control.fake_gateway import TAGS, FakeGateway, tag
from tests.control.serving import REQUEST, get, member_of, receive_all, receive_until, serving, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def test_the_status_is_answered_as_json(path):
    with serving(FakeGateway(), path) as served:
        status, body = get(served, "/v1/status")
    assert status == 200
    assert body["gateway"] == "acme.example/gw/station-1"
    assert body["devices"][1]["latency_ms"] is None


def test_the_socket_is_for_owner_and_group_only_and_disappears_at_the_end(path):
    with serving(FakeGateway(), path):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
        assert [file.name for file in path.parent.iterdir()] == ["control.sock"]
    assert not path.exists()


def test_the_connection_beyond_the_limit_is_refused_and_a_free_place_is_used_again(path):
    with serving(FakeGateway(), path, limits=Limits(connections=32)) as served:
        held = [served.raw() for _ in range(32)]
        for raw in held:
            raw.sendall(REQUEST)
            raw.recv(100)
        with served.raw() as refused:
            assert receive_all(refused).startswith(b"HTTP/1.1 503")
        assert "connection_refused" in served.log.getvalue()
        for raw in held:
            raw.close()
        assert wait_until(lambda: not served.server._open)
        assert get(served, "/v1/status")[0] == 200


def test_a_stale_socket_file_is_replaced(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    with serving(FakeGateway(), path) as served:
        assert get(served, "/v1/status")[0] == 200


def server_at(path: Path) -> ControlServer:
    clock = SystemClock()
    authority = Authority(Roles(), own_uid=os.getuid(), lookup=member_of())
    return ControlServer(FakeGateway(), path, authority, clock=clock, log=EventLog(clock, io.StringIO()))


def test_a_socket_somebody_listens_on_is_left_alone(path):
    with serving(FakeGateway(), path) as served:
        with pytest.raises(SocketInUse, match="another process listens"):
            server_at(path).listen()
        assert get(served, "/v1/status")[0] == 200


def test_a_file_that_is_no_socket_is_never_replaced(path):
    path.write_text("precious")
    with pytest.raises(SocketUnusable, match="not a socket"):
        server_at(path).listen()
    assert path.read_text() == "precious"


def test_a_path_too_long_for_a_socket_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(SocketUnusable) as caught:
        server_at(tmp_path / ("x" * 120)).listen()
    assert "shorter" in caught.value.remedy


def test_a_bug_in_an_answer_is_logged_and_the_server_goes_on(path):
    gateway = FakeGateway()
    gateway.fails = ZeroDivisionError("a bug")
    with serving(gateway, path) as served:
        status, body = get(served, "/v1/status")
        assert (status, body["error"]) == (500, "the gateway failed to answer")
        assert "ZeroDivisionError" in served.log.getvalue()
        gateway.fails = None
        assert get(served, "/v1/status")[0] == 200


def test_stopping_closes_idle_connections_and_ends_a_watch(path):
    with serving(FakeGateway(), path) as served, served.raw() as idle, served.raw() as watch:
        idle.sendall(REQUEST)
        receive_until(idle, b"write_max is missing")
        watch.sendall(b"GET /v1/tags/watch?interval_ms=60000 HTTP/1.1\r\nHost: g\r\n\r\n")
        receive_until(watch, b"p1_speed")
        served.stop()
        assert receive_all(idle) == b""
        receive_all(watch)


def test_a_watcher_leaving_frees_its_place(path):
    ask = b"GET /v1/tags/watch?interval_ms=100 HTTP/1.1\r\nHost: g\r\n\r\n"
    with serving(FakeGateway(), path, limits=Limits(watchers=1)) as served:
        with served.raw() as first:
            first.sendall(ask)
            first.recv(100)
            with served.raw() as second:
                second.sendall(ask)
                assert receive_all(second).startswith(b"HTTP/1.1 503")
        assert wait_until(lambda: not served.server._open)
        with served.raw() as third:
            third.sendall(ask)
            assert third.recv(100).startswith(b"HTTP/1.1 200")


async def test_a_watch_sends_everything_once_and_then_only_what_changed(path):
    """The clock is moved by hand; a batch is sent per interval, and silence is broken by an empty line."""
    gateway, clock = FakeGateway(), ManualClock()
    authority = Authority(Roles(), own_uid=os.getuid(), lookup=member_of())
    server = ControlServer(gateway, path, authority, clock=clock, log=EventLog(clock, io.StringIO()))
    server.listen()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /v1/tags/watch?match=pump_1.*&interval_ms=1000 HTTP/1.1\r\nHost: g\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        first = await chunk(reader)
        assert [json.loads(line)["alias"] for line in first.splitlines()] == ["pump_1.bearing_temp", "pump_1.speed"]
        gateway.tags_now = (tag("plc1/p1_bearing_temp", "pump_1.bearing_temp", None, status=0x80000000), *TAGS[1:])
        await clock.advance(1_000_000_000)
        (line,) = (await chunk(reader)).splitlines()
        assert (json.loads(line)["value"], json.loads(line)["quality"]) == (None, "Bad")
        for _ in range(10):
            await clock.advance(1_000_000_000)
        assert await chunk(reader) == b"\n"
        writer.close()
        server.stop()


async def chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    content = await reader.readexactly(size)
    await reader.readline()
    return content


def test_it_serves_the_same_on_uvloop(path):
    with serving(FakeGateway(), path, loop_factory=uvloop.new_event_loop) as served:
        assert get(served, "/v1/overrides")[1]["overrides"][0]["by"]["name"] == "ana"
        assert get(served, "/v1/tags?match=tank.*")[1]["tags"][0]["value"] is None
