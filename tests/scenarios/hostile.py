"""Modbus peers that answer wrongly: each one way, on a loopback port, until closed."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Reply = Callable[[bytes], bytes | None]  # a request frame -> what is sent; None = hang up

_HEADER = struct.Struct(">HHHB")
_noise = random.Random(7)


def noise(_: bytes) -> bytes:
    return _noise.randbytes(300)


def other_protocol(_: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def short_frame(request: bytes) -> bytes | None:
    """A header that promises four more bytes than come; then silence."""
    transaction, _, _, unit_id = _HEADER.unpack_from(request)
    return _HEADER.pack(transaction, 0, 5, unit_id)[:-1]


def wrong_count(request: bytes) -> bytes:
    """A well-formed answer to a question nobody asked: three registers."""
    transaction, _, _, unit_id = _HEADER.unpack_from(request)
    return _HEADER.pack(transaction, 0, 9, unit_id) + struct.pack(">BB3H", request[7], 6, 1, 2, 3)


def stranger(request: bytes) -> bytes:
    """The right answer with another request's number."""
    transaction, _, _, unit_id = _HEADER.unpack_from(request)
    return _HEADER.pack(transaction ^ 0x5555, 0, 5, unit_id) + struct.pack(">BBH", request[7], 2, 600)


def hang_up(_: bytes) -> None:
    return None


@contextmanager
def peer(reply: Reply) -> Iterator[int]:
    """Serve until the block ends; yield the port."""
    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=_serve, args=(listener, reply, closing), name=f"hostile.{reply.__name__}")
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            closing.set()
            thread.join(10)


def _serve(listener: socket.socket, reply: Reply, closing: threading.Event) -> None:
    while not closing.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection, suppress(OSError):
            connection.settimeout(0.1)
            _converse(connection, reply, closing)


def _converse(connection: socket.socket, reply: Reply, closing: threading.Event) -> None:
    while not closing.is_set():
        try:
            request = connection.recv(4096)
        except TimeoutError:
            continue
        answer = reply(request) if len(request) >= _HEADER.size else None
        if answer is None:
            return
        connection.sendall(answer)
