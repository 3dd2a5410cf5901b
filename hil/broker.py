"""A real MQTT 5 broker for rigs and tests: iotcore's (rumqttd inside), in its own process on a loopback port."""

from __future__ import annotations

from pathlib import Path

import iotcore

from hil.ports import free_port

PAYLOAD_MAX = 65_536
_CONFIG = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 4
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {payload_max}
max_inflight_count = 100
dynamic_filters = true
"""


class Broker:
    """Start, kill (sessions and queued messages are lost) and start again on the same port."""

    def __init__(self, folder: Path, *, port: int = 0, payload_max: int = PAYLOAD_MAX) -> None:
        self.port = port or free_port()
        self._config = folder / f"broker-{self.port}.toml"
        self._config.write_text(_CONFIG.format(port=self.port, payload_max=payload_max))
        self._broker: iotcore.Broker | None = None

    def start(self) -> None:
        assert self._broker is None
        self._broker = iotcore.Broker(config_path=str(self._config))
        self._broker.start()

    def kill(self) -> None:
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
