"""asyncua's server for load: `python -m hil.bench.asyncua_server DOUBLES`; prints `ready PORT`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from asyncua import Server, ua

from hil.bench.load import NAMESPACE, node_name
from hil.ports import free_port


async def serve(doubles: int) -> None:
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    server = Server()
    await server.init()
    port = free_port()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    plant = await server.nodes.objects.add_object(index, "plant")
    for number in range(doubles):
        name = node_name(number)
        await plant.add_variable(ua.NodeId(ua.String(name), ua.Int16(index)), name, float(number))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # nobody waits for the two seconds that asyncua takes to stop
    async with server:
        print(f"ready {port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
