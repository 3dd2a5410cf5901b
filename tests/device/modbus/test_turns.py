"""One at a time on a bus, writes ahead of scans."""

from __future__ import annotations

import asyncio

from gatewayd.device.modbus.turns import Turns


class Bench:
    def __init__(self) -> None:
        self.turns = Turns()
        self.order: list[str] = []
        self.inside = 0
        self.gate = asyncio.Event()

    async def use(self, name: str, *, urgent: bool = False) -> None:
        async with self.turns.take(urgent=urgent):
            self.inside += 1
            assert self.inside == 1, "two at once"
            self.order.append(name)
            await self.gate.wait()
            self.inside -= 1


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_is_urgent_comes_first_and_else_who_came_first() -> None:
    bench = Bench()
    users = [asyncio.ensure_future(bench.use(name, urgent=name.isupper())) for name in ("a", "b", "c", "W", "X")]
    await settle()
    assert (bench.order, bench.turns.urgent_waiting) == (["a"], 2)
    bench.gate.set()
    await asyncio.gather(*users)
    assert bench.order == ["a", "W", "X", "b", "c"]


async def test_who_gives_up_waiting_is_passed_over_even_in_the_moment_of_its_turn() -> None:
    bench = Bench()
    users = [asyncio.ensure_future(bench.use(name)) for name in "abcd"]
    await settle()
    users[1].cancel()
    bench.gate.set()
    await asyncio.sleep(0)  # a ends and the turn goes to c, which is cancelled before it runs
    users[2].cancel()
    await asyncio.gather(*users, return_exceptions=True)
    assert bench.order[0] == "a"
    assert bench.order[-1] == "d"
    await asyncio.wait_for(bench.use("e"), 1)
