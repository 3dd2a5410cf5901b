"""The libraries most gateways are made of, used plainly and well: `python -m hil.bench.plain pymodbus|asyncua ...`.

pymodbus: 125 registers a request, as its client gives them, a list of integers. asyncua: `read_attributes` of many nodes
at once, which keeps status and timestamps. Neither checks any contract. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from hil.bench.load import NAMESPACE, REGISTERS_PER_REQUEST, node_name

Scan = Callable[[], Awaitable[int]]  # reads every tag once; returns how many requests it took


async def pymodbus_scans(port: int, tags: int, connections: int, seconds: float) -> dict[str, float]:
    from pymodbus.client import AsyncModbusTcpClient

    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(connections)]
    for client in clients:
        assert await client.connect()

    async def scan(client: AsyncModbusTcpClient) -> int:
        requests = 0
        for first in range(0, tags, REGISTERS_PER_REQUEST):
            count = min(REGISTERS_PER_REQUEST, tags - first)
            answer = await client.read_holding_registers(first, count=count, device_id=1)
            assert len(answer.registers) == count
            requests += 1
        return requests

    try:
        return await _measured([lambda client=client: scan(client) for client in clients], tags, seconds)
    finally:
        for client in clients:
            client.close()


async def asyncua_scans(port: int, tags: int, nodes_per_request: int, seconds: float) -> dict[str, float]:
    from asyncua import Client, ua

    logging.getLogger("asyncua").setLevel(logging.WARNING)
    async with Client(f"opc.tcp://127.0.0.1:{port}", timeout=60, watchdog_intervall=60) as client:
        index = await client.get_namespace_index(NAMESPACE)
        nodes = [client.get_node(ua.NodeId(ua.String(node_name(number)), ua.Int16(index))) for number in range(tags)]
        chunks = [nodes[start : start + nodes_per_request] for start in range(0, tags, nodes_per_request)]

        async def scan() -> int:
            for chunk in chunks:
                answers = await client.read_attributes(chunk, ua.AttributeIds.Value)
                assert answers[-1].Value is not None
            return len(chunks)

        return await _measured([scan], tags, seconds)


async def _measured(scans: list[Scan], tags: int, seconds: float) -> dict[str, float]:
    for scan in scans:
        await scan()
    cpu, started = time.process_time(), time.perf_counter()

    async def repeat(scan: Scan) -> tuple[int, int]:
        done = requests = 0
        while time.perf_counter() - started < seconds:
            requests += await scan()
            done += tags
        return done, requests

    results = await asyncio.gather(*(repeat(scan) for scan in scans))
    return {
        "tags": sum(done for done, _ in results),
        "requests": sum(requests for _, requests in results),
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
    }


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("pymodbus", "asyncua")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=("pymodbus", "asyncua"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tags", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--nodes-per-request", type=int, default=1000)
    given = parser.parse_args()
    if given.library == "pymodbus":
        measured = pymodbus_scans(given.port, given.tags, given.connections, given.seconds)
    else:
        measured = asyncua_scans(given.port, given.tags, given.nodes_per_request, given.seconds)
    print(json.dumps(asyncio.run(measured)))


if __name__ == "__main__":
    main()
