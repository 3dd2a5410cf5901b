"""Which decisions are asked for."""

from __future__ import annotations

from msgspec import Struct


class Wanted(Struct, frozen=True, kw_only=True):
    """What decisions must have in common; all that is said must hold.

    Args:
        before: only decisions with a smaller id; 0 = from the newest.
        since_ns: not earlier, wall time; 0 = from the beginning.
        until_ns: not later, wall time; 0 = to the newest.
        point: on which it is; empty = any, as in what follows.
        asset: of the point.
        tag: that was read: the evidence holds a sample of it.
        rule: that asked for it, as the record names it.
        actor_uid: of who asked; None = anybody or nobody.
    """

    before: int = 0
    since_ns: int = 0
    until_ns: int = 0
    point: str = ""
    asset: str = ""
    tag: str = ""
    rule: str = ""
    actor_uid: int | None = None


EVERYTHING = Wanted()
