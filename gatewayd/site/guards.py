"""The guard lists: a point that promises limits must keep its own word."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET, UnsetType

from gatewayd.model.config import Point, missing_guards
from gatewayd.model.device import ModbusTag
from gatewayd.model.registers import INTEGER_RANGE
from gatewayd.site.draft import Draft, Located, Member
from gatewayd.site.problem import Problem, listed
from gatewayd.site.source import Origin


def check_points(draft: Draft) -> None:
    """Check every point: its tag, its limits against each other and against the contract, its read-back."""
    first: dict[str, Origin] = {}
    for point, at in draft.points:
        if point.tag in first:
            place = first[point.tag]
            draft.findings.add(
                at.child("tag").problem(
                    f"{point.tag} has two points; the first is in {place.source.name}:{place.source.line_of(place.path)}",
                    remedy="Join the two guard lists.",
                    found=point.tag,
                )
            )
        first.setdefault(point.tag, at)
        for problem in _problems(draft, Located(point, at)):
            draft.findings.add(problem)


def _problems(draft: Draft, located: Located[Point]) -> Iterator[Problem]:
    point, at = located
    member = draft.resolve(point.tag)
    if member is None:
        if not draft.is_excused(point.tag):
            yield at.child("tag").unknown(
                point.tag, what="tag", known=draft.aliases(), remedy="Write ASSET.MEMBER of an asset in twins/."
            )
    elif member.tag.access == "r":
        yield at.child("tag").problem(
            f"{point.tag} is a point, but {member.device.name}/{member.tag.name} has access r",
            remedy="Set access to rw in the tag list if the device may be written there; else remove the point.",
            found="r",
            allowed="rw or w",
        )
    yield from _incomplete(point, at)
    yield from _limits(point, at)
    if member is not None:
        yield from _range(point, member, at)
        yield from _readback(draft, point, member, at)


def _incomplete(point: Point, at: Origin) -> Iterator[Problem]:
    if missing := missing_guards(point):
        yield at.problem(
            f"{point.tag} is read-only: its guard list lacks {listed(missing)}",
            remedy="Add them to let rules and people write it; leave it so to forbid that.",
            found="an incomplete guard list",
            severity="warning",
        )


def _limits(point: Point, at: Origin) -> Iterator[Problem]:
    low, high = point.write_min, point.write_max
    if isinstance(low, UnsetType) or isinstance(high, UnsetType):
        return
    if low >= high:
        yield at.child("write_min").refused(
            low, allowed=f"below write_max = {high:g}", remedy="Swap or correct the two."
        )
        return
    for key in ("fail_safe_value", "relinquish_default"):
        value = getattr(point, key)
        if isinstance(value, float) and not low <= value <= high:
            yield at.child(key).refused(
                value,
                allowed=f"write_min to write_max, {low:g} to {high:g}",
                remedy="Choose a value inside the limits, or widen them; even a fail-safe never leaves them.",
            )


def _range(point: Point, member: Member, at: Origin) -> Iterator[Problem]:
    for key in ("write_min", "write_max"):
        value = getattr(point, key)
        if not isinstance(value, float):
            continue
        low, high = member.contract.low, member.contract.high
        if (isinstance(low, float) and value < low) or (isinstance(high, float) and value > high):
            yield at.child(key).refused(
                value,
                allowed=f"the contract's range of {point.tag}, {_end(low)} to {_end(high)}",
                remedy="Correct the limit, or the contract in twins/; a write outside it would read back as bad.",
            )
        yield from _fits_type(key, value, member, at)


def _fits_type(key: str, value: float, member: Member, at: Origin) -> Iterator[Problem]:
    tag = member.tag
    if tag.type not in INTEGER_RANGE or tag.scale == 0:
        return
    if isinstance(tag, ModbusTag) and tag.scale_register is not None:
        return  # only the device knows
    raw, (lowest, highest) = (value - tag.offset) / tag.scale, INTEGER_RANGE[tag.type]
    if not lowest <= round(raw) <= highest:
        where = f"register {tag.address}" if isinstance(tag, ModbusTag) else tag.node_id
        yield at.child(key).refused(
            value,
            allowed=f"what {tag.type} can hold with scale {tag.scale:g} and offset {tag.offset:g}",
            remedy=f"It would write {raw:g} to {where}. Correct the limit, or scale and type in the tag list.",
        )


def _readback(draft: Draft, point: Point, member: Member, at: Origin) -> Iterator[Problem]:
    place = at.child("readback")
    if point.readback in (UNSET, "self"):
        if point.readback == "self" and member.tag.access == "w":
            yield place.refused(
                "self",
                allowed="another tag: this one cannot be read (access w)",
                remedy="Name the tag that shows the effect.",
            )
        return
    effect = draft.resolve(str(point.readback))
    if effect is None:
        if not draft.is_excused(str(point.readback)):
            yield place.unknown(
                str(point.readback), what="tag", known=draft.aliases(), remedy='Write ASSET.MEMBER, or "self".'
            )
    elif effect.units and member.units and effect.units != member.units:
        yield place.problem(
            f"{point.tag} is in {member.units}, and its readback {point.readback} in {effect.units}",
            remedy="Read back a tag in the same units; the two are compared as numbers.",
            found=effect.units,
            allowed=member.units,
        )
    elif effect.tag.access == "w":
        yield place.refused(point.readback, allowed="a tag that can be read", remedy="Name one with access r or rw.")


def _end(limit: float | UnsetType) -> str:
    return "no limit" if isinstance(limit, UnsetType) else f"{limit:g}"
