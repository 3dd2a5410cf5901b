"""The rigs' MQTT 5 broker as a fixture, and the configuration of a gateway that uses it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd.model.config import Cloud
from hil.broker import PAYLOAD_MAX, Broker

__all__ = ["PAYLOAD_MAX", "TestBroker", "broker", "running_broker"]


class TestBroker(Broker):
    """Start, kill (sessions and queued messages are lost) and start again on the same port."""

    __test__ = False

    def cloud(self, **changes: object) -> Cloud:
        """The configuration of a gateway that uses this broker."""
        plain = {"host": "127.0.0.1", "port": self.port, "tls": False, "insecure": "accepted-by=test"}
        return Cloud(**{**plain, **changes})


@contextlib.contextmanager
def running_broker() -> Iterator[TestBroker]:
    with tempfile.TemporaryDirectory() as folder:
        broker = TestBroker(Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


@pytest.fixture
def broker() -> Iterator[TestBroker]:
    with running_broker() as running:
        yield running
