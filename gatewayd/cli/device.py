"""`gatewayd device`: what a technician needs on site, without the daemon and without a network behind the plant's."""

from __future__ import annotations

import click

from gatewayd.cli.lazy import LazyGroup

_VERBS = {
    "scan": ("gatewayd.cli.device_scan:scan", "Find the units of a bus, or the endpoints of an OPC UA server."),
    "probe": ("gatewayd.cli.device_probe:probe", "Read everything once; find out who it is, how fast, and its limits."),
    "read": ("gatewayd.cli.device_read:read", "Show registers as every number they could be, or one OPC UA node."),
    "browse": ("gatewayd.cli.device_browse:browse", "Show the tree of an OPC UA server, or make a tag list of it."),
    "write": ("gatewayd.cli.device_write:write", "Show what a write would send; never sends it."),
    "record": ("gatewayd.cli.device_record:record", "Keep a device's traffic in a file."),
    "play": ("gatewayd.cli.device_record:play", "Serve a recording as a simulated device."),
}


@click.group(cls=LazyGroup, lazy=_VERBS)
def device() -> None:
    """Find, try and record devices without the daemon. Nothing here writes to a device.

    Many devices allow one connection only: stop the daemon first if a device refuses.
    """
