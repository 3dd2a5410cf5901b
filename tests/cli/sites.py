"""A small site on disk for commands that take a folder, and a small PLC for it to talk to."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REGISTERS_MAX = 100


def write_site(folder: Path, *, port: int = 502) -> Path:
    """Write a site with one Modbus device; its storage is beside it."""
    site = folder / "site"
    (site / "devices").mkdir(parents=True)
    (site / "gateway.toml").write_text(
        f'[gateway]\nname = "acme.example/gw/test"\n\n[storage]\npath = "{folder / "storage"}"\n'
    )
    (site / "devices" / "plc.toml").write_text(
        f'[device]\nprotocol = "modbus-tcp"\nname = "plc"\nhost = "127.0.0.1"\nport = {port}\n'
        "timeout_ms = 2000\nmax_gap = 0\n"
    )
    (site / "devices" / "plc.tags.csv").write_text(
        "name,register_type,address,type,scale,units\n"
        "speed,holding,0,uint16,0.1,%\n"
        "flow,holding,1,float32,1,m3/h\n"
        "ghost,holding,500,uint16,1,\n"
    )
    return site


@contextmanager
def small_plc() -> Iterator[tuple[int, list[bytes]]]:
    """Serve holding registers 0 to 99 until closed; yield the port and the list of PDUs received."""
    registers = [625, *struct.unpack(">2H", struct.pack(">f", 12.5)), *range(3, REGISTERS_MAX)]
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        closing = threading.Event()

        def serve() -> None:
            while not closing.is_set():
                try:
                    peer, _ = listening.accept()
                except TimeoutError:
                    continue
                with peer, peer.makefile("rb") as stream:
                    peer.settimeout(5)
                    _answer_all(peer, stream, registers, heard)

        thread = threading.Thread(target=serve, name="small_plc")
        thread.start()
        try:
            yield listening.getsockname()[1], heard
        finally:
            closing.set()
            thread.join(10)


def _answer_all(peer: socket.socket, stream, registers: list[int], heard: list[bytes]) -> None:
    while len(head := stream.read(7)) == 7:
        transaction, _, length, unit = struct.unpack(">HHHB", head)
        pdu = stream.read(length - 1)
        heard.append(pdu)
        if pdu[0] != 3:
            answer = bytes((pdu[0] | 0x80, 1))
            peer.sendall(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)
            continue
        function, start, count = struct.unpack(">BHH", pdu)
        if start + count > len(registers):
            answer = bytes((function | 0x80, 2))
        else:
            answer = struct.pack(f">BB{count}H", function, 2 * count, *registers[start : start + count])
        peer.sendall(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)
