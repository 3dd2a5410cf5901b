"""What a sample takes in the flight recorder, in bytes of a sealed block and in CPU.

The reference is a small plant of 20 tags read each second, up to 3 ms off, in blocks of 60 s: 12 measurements in steps of
0.01 as 16-bit registers, 4 coarse ones that seldom move, 4 contacts in one register. The large site has 10,000 tags of the
same kinds behind ten devices, and blocks of 2 MB.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from statistics import median

import msgspec

from gatewayd.clock import UNIT_NS
from gatewayd.journal.blocks.columnar import Packer, unpack
from gatewayd.model.block import Block, Codec
from gatewayd.model.decision import Inputs

SECOND = 1_000_000_000
WALL = 1_750_000_000 * SECOND
STEP = 0.01
TAGS = 20
CYCLES = 60
LARGE_DEVICES = 10
LARGE_TAGS = 10_000


class Walk:
    """A measurement that noise moves and a controller pulls back, in steps of the transmitter."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._setpoint = self._value = chance.uniform(10, 90)

    def steps(self) -> int:
        self._value += 0.05 * (self._setpoint - self._value) + self._chance.gauss(0, 0.02)
        return round(self._value / STEP)


class Device:
    """Holding registers of a device: of 20 tags 12 walk, 4 are coarse, 4 are contacts.

    Args:
        chance: what moves them.
        tags: how many, in twenties.
        form: of a measurement on the wire, as `struct` writes it; a float holds the value, not its steps.
    """

    def __init__(self, chance: random.Random, tags: int, form: str = ">h") -> None:
        assert tags % TAGS == 0
        twenties = tags // TAGS
        self._chance = chance
        self._form = form
        self._walks = [Walk(chance) for _ in range(12 * twenties)]
        self._coarse = [chance.randrange(200, 4000) for _ in range(4 * twenties)]
        self._contacts = [chance.randrange(16) for _ in range(twenties)]

    def payload(self) -> bytes:
        chance = self._chance
        for place in range(len(self._coarse)):
            if chance.random() < 0.05:
                self._coarse[place] += chance.choice((-5, 5))
        for place in range(len(self._contacts)):
            if chance.random() < 0.03:
                self._contacts[place] ^= 1 << chance.randrange(4)
        unit = STEP if self._form[1] in "fd" else 1
        walks = b"".join([struct.pack(self._form, walk.steps() * unit) for walk in self._walks])
        return walks + struct.pack(f">{len(self._coarse) + len(self._contacts)}H", *self._coarse, *self._contacts)


def cycles_of(devices: list[Device], count: int, *, seed: int = 5, unit_ns: int = UNIT_NS) -> list[bytes]:
    """Return the msgpack of so many cycles, one each second, in which every device answers.

    Args:
        devices: who is read, each by one plan.
        count: cycles.
        seed: of the times.
        unit_ns: what the clock counts in.
    """
    chance, encoder = random.Random(seed), msgspec.msgpack.Encoder()
    return [encoder.encode(inputs) for inputs in _inputs(devices, count, chance, unit_ns)]


def _inputs(devices: list[Device], count: int, chance: random.Random, unit_ns: int) -> Iterator[Inputs]:
    def wall(at_ns: int) -> int:
        """The clock is read right after the other one, and is being steered."""
        return (WALL + at_ns + chance.randrange(80, 200) + at_ns * 7 // 1_000_000) // unit_ns * unit_ns

    def mono(at_ns: int) -> int:
        return (500 * SECOND + at_ns) // unit_ns * unit_ns

    for cycle in range(count):
        at_ns = cycle * SECOND + chance.randrange(6_000_000)
        blocks = []
        for plan, device in enumerate(devices):
            sent_ns = at_ns
            at_ns += chance.randrange(300_000, 900_000)
            blocks.append(
                Block(plan, Codec.MODBUS_REGISTERS, wall(sent_ns), wall(at_ns), mono(at_ns), device.payload())
            )
        at_ns += chance.randrange(40_000, 120_000)
        yield Inputs((7 << 40) + cycle, wall(at_ns), mono(at_ns), tuple(blocks))


def reference(unit_ns: int = UNIT_NS) -> list[bytes]:
    """Return the cycles of one block of the small plant."""
    return cycles_of([Device(random.Random(3), TAGS)], CYCLES, unit_ns=unit_ns)


def large_site(form: str = ">h") -> list[bytes]:
    """Return the cycles of one block of the large site."""
    tags = LARGE_TAGS // LARGE_DEVICES
    return cycles_of([Device(random.Random(seed), tags, form) for seed in range(LARGE_DEVICES)], CYCLES)


def bytes_per_sample(quick: bool) -> float:
    """Return what a sample of the small plant takes in a sealed block, times included; always the same block."""
    content = Packer().pack(reference())
    assert content is not None
    assert len(unpack(content)) == CYCLES
    return len(content) / (CYCLES * TAGS)


def figures(quick: bool) -> dict[str, float]:
    """Measure both plants."""
    encoded, packer = large_site(), Packer()
    content = packer.pack(encoded)
    assert content is not None
    samples = CYCLES * LARGE_TAGS
    rounds = 3 if quick else 15
    return {
        "block_bytes_per_sample": bytes_per_sample(quick),
        "block_bytes_per_sample_large": len(content) / samples,
        "block_cpu_us_per_sample": median(_cpu_us(lambda: packer.pack(encoded)) for _ in range(rounds)) / samples,
        "block_unpack_cpu_us_per_sample": median(_cpu_us(lambda: unpack(content)) for _ in range(rounds)) / samples,
    }


def _cpu_us(work: Callable[[], object]) -> float:
    began_ns = time.process_time_ns()
    work()
    return (time.process_time_ns() - began_ns) / 1000


if __name__ == "__main__":
    for name, value in figures(quick=True).items():
        print(f"{name} {value:.4f}")
