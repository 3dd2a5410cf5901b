"""Where other gateways deliver: counts the values that arrive at a broker over one stretch of time.

`python -m hil.bench.peers.sink BROKER_PORT thingsboard|nodered WARM_UP_S SECONDS` prints `ready` when it listens, `begin`
when the first values have come and the warm-up is over, then, SECONDS later, one JSON line: values, distinct names,
messages. To thingsboard-gateway it is the platform, too: it answers the one question without which nothing is sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import gmqtt

TOPICS = {"thingsboard": "v1/gateway/telemetry", "nodered": "bench/#"}
QUESTION, ANSWER = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
NO_LIMITS = {"maxInflightMessages": 1000, "maxPayloadSize": 1_000_000, "rateLimits": {}, "gatewayRateLimits": {}}
FIRST_S = 60.0


class Sink:
    """Counts each value of a name and time once."""

    def __init__(self, kind: str) -> None:
        self._samples = thingsboard_samples if kind == "thingsboard" else nodered_samples
        self.has_begun = asyncio.Event()
        self.values = self.messages = 0
        self.newest: dict[str, object] = {}  # name -> its last time

    def take(self, client: Any, topic: str, payload: bytes, _qos: int, _properties: Any) -> int:
        if topic.startswith(QUESTION):
            client.publish(ANSWER + topic.removeprefix(QUESTION), json.dumps(NO_LIMITS), qos=1)
            return 0
        self.has_begun.set()
        self.messages += 1
        for name, at in self._samples(topic, json.loads(payload), self.messages):
            if self.newest.get(name) != at:
                self.newest[name] = at
                self.values += 1
        return 0


def thingsboard_samples(_topic: str, said: Any, _number: int) -> Iterator[tuple[str, object]]:
    """`{device: [{ts, values: {name: value}}]}`"""
    for device, records in said.items():
        for record in records:
            for name in record["values"]:
                yield f"{device}/{name}", record["ts"]


def nodered_samples(topic: str, said: Any, number: int) -> Iterator[tuple[str, object]]:
    """One JSON array per block, one topic per block."""
    for place in range(len(said)):
        yield f"{topic}/{place}", number


async def count(port: int, kind: str, warm_up_s: float, seconds: float) -> dict[str, float]:
    sink = Sink(kind)
    client = gmqtt.Client("bench-sink")
    client.on_message = sink.take
    await client.connect("127.0.0.1", port, version=5)
    client.subscribe(TOPICS[kind], qos=0)
    client.subscribe(QUESTION + "+", qos=1)
    print("ready", flush=True)
    async with asyncio.timeout(FIRST_S):
        await sink.has_begun.wait()
    await asyncio.sleep(warm_up_s)
    sink.values = sink.messages = 0
    print("begin", flush=True)
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    found = {"values": sink.values, "messages": sink.messages, "wall_s": time.perf_counter() - started}
    return {**found, "names": len(sink.newest)}


if __name__ == "__main__":
    given = sys.argv[1:]
    result = asyncio.run(count(int(given[0]), given[1], float(given[2]), float(given[3])))
    print(json.dumps(result), flush=True)
    sys.exit(0)  # without waiting for the broker's good-bye
