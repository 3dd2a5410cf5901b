"""Samples of the scenario's pump as a recording, and a tally that keeps every record."""

from __future__ import annotations

from array import array

from gatewayd.backtest.columns import SAMPLE, Chunk
from gatewayd.backtest.engine import Backtest, site_over
from gatewayd.backtest.tally import Tally
from gatewayd.compiled import load_kernels
from tests.core.scenario import FORM, NS


class KeepingTally(Tally):
    """Keeps the bodies of all records, to be compared byte for byte."""

    def __init__(self, site, **settings):
        super().__init__(site, **settings)
        self.bodies = []

    def take(self, now_ns, effects, state):
        self.bodies += [record.body for record in effects.records]
        super().take(now_ns, effects, state)


def run_over(site, rows, *, start_ns, end_s, **settings):
    """Run rows of (seconds after the start, {member: value}) over a site; return the backtest."""
    labels = [tag.label for tag in site.tags]
    shapes: dict[tuple[int, ...], int] = {}
    times, numbers, payload = array("q"), array("q"), b""
    for seconds, values in rows:
        columns = tuple(labels.index(f"pump.{name}") for name in values)
        times.append(start_ns + round(seconds * NS))
        numbers.append(shapes.setdefault(columns, len(shapes)))
        payload += b"".join(SAMPLE.pack(value, 0, times[-1]) for value in values.values())
    over = site_over(site, range(len(labels)), list(shapes))
    tally = KeepingTally(over, since_ns=settings.pop("since_ns", 0))
    test = Backtest(over, load_kernels(FORM), tally, first_ns=start_ns, **settings)
    test.feed(Chunk(times.tobytes(), numbers.tobytes(), payload))
    test.finish(start_ns + round(end_s * NS))
    return test
