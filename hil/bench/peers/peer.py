"""How another gateway is started."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Peer(Struct, frozen=True):
    """A gateway with its configuration written, ready to start."""

    name: str
    command: tuple[str, ...]
    folder: Path  # where it runs and writes
    environment: dict[str, str]
    settings: str  # how it was set up, for the report


class Task(Struct, frozen=True):
    """What every peer is to do: poll these tags once a second and publish each value."""

    protocol: str  # modbus | opcua
    ports: tuple[int, ...]  # of the servers, each with `tags` tags
    tags: int  # per server
    namespace: int  # OPC UA index
    broker: int
