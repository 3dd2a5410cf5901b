"""Blocks of several plans, taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gatewayd.model.block import Block, ReadPlan


def apart(blocks: Iterable[Block], plans: Sequence[ReadPlan]) -> Iterator[Block]:
    """Yield one block per plan, in the order of arrival; every byte of a joined payload belongs to one plan."""
    size = {plan.index: plan.size for plan in plans}
    for block in blocks:
        if block.plans == 1:
            yield block
            continue
        at = 0
        for plan in range(block.plan, block.plan + block.plans):
            payload = block.payload[at : at + size[plan]]
            yield msgspec.structs.replace(block, plan=plan, payload=payload, plans=1)
            at += size[plan]
        assert at == len(block.payload)
