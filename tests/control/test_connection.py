"""One HTTP/1.1 connection: order, limits, time. Raw bytes over a real socket."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from gatewayd.control.connection import Limits
from tests.control.fake_gateway import FakeGateway, tag
from tests.control.serving import REQUEST, get, receive_all, serving, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def test_one_connection_serves_many_requests(path):
    with serving(FakeGateway(), path) as served:
        client = served.client()
        for _ in range(3):
            client.request("GET", "/v1/sync")
            assert json.loads(client.getresponse().read())["broker"] == "broker.example:8883"
            first = client.sock
        assert client.sock is first
        client.close()


def test_pipelined_requests_are_answered_in_order(path):
    with serving(FakeGateway(), path) as served, served.raw() as raw:
        raw.sendall(
            b"GET /v1/decisions/41 HTTP/1.1\r\nHost: g\r\n\r\n"
            b"GET /v1/nowhere HTTP/1.1\r\nHost: g\r\n\r\n"
            b"GET /v1/decisions/40 HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"
        )
        received = receive_all(raw)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"404", b"200"]
    assert received.index(b'"pump_1.speed_sp"') < received.index(b"/v1/nowhere") < received.index(b'"inlet.valve"')


def test_a_client_that_closed_its_sending_side_still_gets_its_answer(path):
    with serving(FakeGateway(), path) as served, served.raw() as raw:
        raw.sendall(REQUEST)
        raw.shutdown(socket.SHUT_WR)
        assert b"station-1" in receive_all(raw)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),  # a TLS hello
        (b"GET /v1/status HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET /v1/status HTTP/1.1\r\nHost: g\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /v1/overrides HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: g\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: g\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", b"431"),
        (b"POST /v1/overrides HTTP/1.1\r\nHost: g\r\nContent-Length: 70000\r\n\r\n" + b" " * 70_000, b"413"),
    ],
    ids=["tls", "no host", "negative length", "bad chunk", "long path", "long head", "long body"],
)
def test_garbage_and_oversize_are_refused_and_the_next_client_is_served(path, sent, status):
    with serving(FakeGateway(), path) as served:
        with served.raw() as raw:
            raw.sendall(sent)
            received = receive_all(raw)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.split()[1] == status
        assert b"connection: close" in head.lower()
        assert set(json.loads(body)) == {"error", "remedy", "code"}
        assert get(served, "/v1/status")[0] == 200


def test_an_endless_chunked_body_is_cut_at_the_limit(path):
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    with serving(FakeGateway(), path) as served, served.raw() as raw:
        raw.sendall(b"POST /v1/overrides HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 3)
        assert receive_all(raw).startswith(b"HTTP/1.1 413")


def test_a_client_that_sends_too_slowly_is_told_so_and_dropped(path):
    with serving(FakeGateway(), path, limits=Limits(request_s=0.05)) as served, served.raw() as raw:
        raw.sendall(REQUEST[:20])
        assert receive_all(raw).startswith(b"HTTP/1.1 408")


def test_a_silent_connection_is_closed_without_a_word(path):
    with serving(FakeGateway(), path, limits=Limits(idle_s=0.05)) as served, served.raw() as raw:
        assert receive_all(raw) == b""


def test_a_client_that_does_not_read_is_dropped(path):
    gateway = FakeGateway()
    gateway.tags_now = tuple(tag(f"plc1/t{n}", "", float(n)) for n in range(9_000))
    with serving(gateway, path, limits=Limits(write_s=0.2)) as served:
        with served.raw() as raw:
            raw.sendall(b"GET /v1/tags?limit=10000 HTTP/1.1\r\nHost: g\r\n\r\n")
            assert wait_until(lambda: served.server._open), "the connection was not accepted"
            assert wait_until(lambda: not served.server._open), "the connection is still held"
        assert get(served, "/v1/status")[0] == 200


def test_a_body_is_asked_for_when_the_client_waits_to_be_asked(path):
    """curl sends `Expect: 100-continue` before a larger body."""
    body = json.dumps({"point": "pump_1.speed_sp", "value": 40, "duration_s": 60, "reason": "bearing"}).encode()
    with serving(FakeGateway(), path) as served, served.raw() as raw:
        raw.sendall(
            b"POST /v1/overrides HTTP/1.1\r\nHost: g\r\nConnection: close\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 100")
        raw.sendall(body)
        assert receive_all(raw).startswith(b"HTTP/1.1 200")


def test_a_request_may_arrive_byte_by_byte(path):
    with serving(FakeGateway(), path) as served, served.raw() as raw:
        for at in range(len(REQUEST)):
            raw.sendall(REQUEST[at : at + 1])
        raw.shutdown(socket.SHUT_WR)
        assert b"station-1" in receive_all(raw)


def test_a_client_that_leaves_in_the_middle_of_a_request_leaves_nothing_behind(path):
    with serving(FakeGateway(), path) as served:
        for sent in (b"", REQUEST[:10], b"POST /v1/overrides HTTP/1.1\r\nHost: g\r\nContent-Length: 50\r\n\r\n{"):
            with served.raw() as raw:
                raw.sendall(sent)
        assert wait_until(lambda: not served.server._open)
        assert get(served, "/v1/status")[0] == 200
    assert served.log.getvalue() == ""
