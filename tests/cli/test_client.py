"""The client against daemons that misbehave: each ends in one message and one remedy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gatewayd.cli.client import Client, DaemonRefused, path_of
from gatewayd.errors import DaemonUnreachable
from gatewayd.model.view import ErrorView, StatusView


@contextmanager
def daemon_that_says(path: Path, answer: bytes) -> Iterator[Client]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(65_536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve, name="daemon")
        thread.start()
        yield Client(str(path))
        thread.join(10)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "before an answer"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (OK + b"Content-Length: 50\r\n\r\n{", "does not speak HTTP"),
        (OK + b"Content-Length: 3\r\n\r\n{}}", "not understood"),
        (OK + b"Content-Length: 2\r\n\r\n{}", "not understood"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nnope", "not understood"),
    ],
    ids=["silence", "ssh", "cut short", "no json", "another shape", "a refusal without json"],
)
def test_what_is_no_answer_is_said_to_be_none(tmp_path, answer, says):
    with (
        daemon_that_says(tmp_path / "d.sock", answer) as client,
        pytest.raises(DaemonUnreachable, match=says) as caught,
    ):
        client.ask(StatusView, "GET", path_of("status"))
    assert caught.value.remedy


def test_a_refusal_keeps_message_remedy_and_exit_code(tmp_path):
    body = b'{"error":"no","remedy":"ask","code":7}'
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with daemon_that_says(tmp_path / "d.sock", answer) as client, pytest.raises(DaemonRefused) as caught:
        client.ask(ErrorView, "GET", path_of("status"))
    assert (caught.value.message, caught.value.remedy, caught.value.exit_code) == ("no", "ask", 7)


def test_a_stream_cut_in_the_middle_gives_its_whole_lines_first(tmp_path):
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n8\r\n{}\n\n{}\n{\r\n"
    with daemon_that_says(tmp_path / "d.sock", answer) as client:
        lines = client.lines(path_of("tags", "watch"))
        seen = [next(lines), next(lines)]
        with pytest.raises(DaemonUnreachable):
            next(lines)
    assert seen == [b"{}", b"{}"]


def test_a_path_too_long_for_a_socket_is_unreachable(tmp_path):
    with pytest.raises(DaemonUnreachable, match="too long"):
        Client(str(tmp_path / ("x" * 200))).ask(StatusView, "GET", path_of("status"))


def test_targets_are_quoted_and_empty_questions_left_out():
    assert path_of("overrides", "a/b c?") == "/v1/overrides/a%2Fb%20c%3F"
    assert path_of("tags", match="p*&x", limit=0, point="", before=None) == "/v1/tags?match=p%2A%26x&limit=0"
