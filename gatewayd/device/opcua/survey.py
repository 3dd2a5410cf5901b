"""What an OPC UA server says of itself, how fast it answers, and how far its clock is from ours. Reads only."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.device.opcua.inspect import read_attributes, shown
from gatewayd.device.opcua.session import Session

LATENCY_ROUNDS: Final = 20
CURRENT_TIME: Final = 2258
IDENTITY: Final = {  # Part 5, 12.4: BuildInfo
    "product_name": 2261,
    "product_uri": 2262,
    "manufacturer": 2263,
    "software_version": 2264,
    "build_number": 2265,
    "build_date": 2266,
    "start_time": 2257,
}
LIMITS: Final = {  # Part 5, 6.3.2 and 6.3.11
    "max_nodes_per_read": 11705,
    "max_nodes_per_write": 11707,
    "max_nodes_per_browse": 11710,
    "max_monitored_items_per_call": 11714,
    "max_browse_continuation_points": 2735,
    "min_supported_sample_rate_ms": 2272,
}


class ServerSurvey(Struct, frozen=True, kw_only=True):
    """What was found; limits that the server does not tell are left out, 0 is "no limit" in its words.

    Args:
        clock_offset_ms: server minus gateway, of the quickest round.
        clock_uncertainty_ms: half of that round trip; None with the offset when the server tells no time.
    """

    identity: dict[str, str]
    limits: dict[str, int | float]
    latency_ms: tuple[float, ...]  # each round
    clock_offset_ms: float | None
    clock_uncertainty_ms: float | None

    @property
    def latency_median_ms(self) -> float:
        """Return the median round trip."""
        return statistics.median(self.latency_ms)


async def survey_server(session: Session, clock: Clock, progress: Callable[[str], None]) -> ServerSurvey:
    """Ask a server about itself.

    Args:
        session: open.
        clock: wall time to compare with, boot time for latency.
        progress: told what is being asked.

    Raises:
        DeviceError.
    """
    told = await _properties(session)
    rounds: list[tuple[float, float | None]] = []  # (latency, offset), ms
    for done in range(LATENCY_ROUNDS):
        progress(f"latency, request {done + 1} of {LATENCY_ROUNDS}")
        rounds.append(await _round(session, clock))
    latency_ms, offset_ms = min(rounds, key=lambda one: one[0])
    return ServerSurvey(
        identity={name: text for name in IDENTITY if (text := shown(told[name]))},
        limits={name: number for name in LIMITS if (number := _number(told[name])) is not None},
        latency_ms=tuple(latency for latency, _ in rounds),
        clock_offset_ms=offset_ms,
        clock_uncertainty_ms=None if offset_ms is None else latency_ms / 2,
    )


async def _properties(session: Session) -> dict[str, ua.DataValue]:
    wanted = IDENTITY | LIMITS
    nodes = [ua.NodeId(ua.Int32(number)) for number in wanted.values()]
    rows = await read_attributes(session, nodes, [AttributeIds.Value], session.nodes_per_read or len(nodes))
    return dict(zip(wanted, (row[0] for row in rows), strict=True))


async def _round(session: Session, clock: Clock) -> tuple[float, float | None]:
    began_ns, began_wall_ns = clock.monotonic_ns(), clock.wall_ns()
    ((answer,),) = await read_attributes(session, [ua.NodeId(ua.Int32(CURRENT_TIME))], [AttributeIds.Value], 1)
    latency_ms = (clock.monotonic_ns() - began_ns) / 1e6
    told = None if answer.Value is None else answer.Value.Value
    if not isinstance(told, datetime):
        return latency_ms, None
    server = told if told.tzinfo is not None else told.replace(tzinfo=UTC)
    return latency_ms, server.timestamp() * 1e3 - (began_wall_ns / 1e6 + latency_ms / 2)


def _number(answer: ua.DataValue) -> int | float | None:
    content = None if answer.Value is None else answer.Value.Value
    return content if isinstance(content, int | float) and not isinstance(content, bool) else None
