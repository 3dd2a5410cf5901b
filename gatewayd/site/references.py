"""Does what one table says of another hold? Contracts, assets and rules."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET

from gatewayd.core.assets import MEMBERS_MIN, watched_members
from gatewayd.model.config import Contract, Rule
from gatewayd.model.detectors import DETECTORS
from gatewayd.model.device import periods_of
from gatewayd.site.draft import Draft, Located
from gatewayd.site.problem import listed, nearest
from gatewayd.site.source import Origin


def check_contracts(draft: Draft) -> None:
    """Check each contract in itself."""
    for located in draft.asset_types.values():
        for member, contract in located.value.tags.items():
            low, high = contract.low, contract.high
            if isinstance(low, float) and isinstance(high, float) and low >= high:
                draft.findings.add(
                    located.at.child("tags", member, "low").refused(
                        low, allowed=f"below high = {high:g}", remedy="Swap or correct the two."
                    )
                )


def check_together(draft: Draft) -> None:
    """Check that an asset watched as a whole has at least two numbers to watch, under names its type has."""
    for type_name, located in draft.asset_types.items():
        together = located.value.together
        if together is None:
            continue
        at = located.at.child("together")
        for place, member in enumerate(together.tags):
            if member not in located.value.tags:
                draft.findings.add(
                    at.child("tags", place).unknown(
                        member, what="member", known=list(located.value.tags), remedy="Name members of the asset type."
                    )
                )
        _check_count(draft, type_name, at)


def _check_count(draft: Draft, type_name: str, at: Origin) -> None:
    kind = draft.asset_types[type_name].value
    for name, asset in draft.assets.items():
        if asset.value.type != type_name:
            continue
        found = {member: draft.resolve(f"{name}.{member}") for member in kind.tags}
        if None in found.values():
            continue  # reported where it is bound
        tags = {member: each.tag for member, each in found.items() if each is not None}
        watched = watched_members(kind, tags)
        texts = [member for member in watched if member in tags and tags[member].type == "string"]
        if len(set(watched)) < max(MEMBERS_MIN, len(watched)) or texts:
            draft.findings.add(
                at.problem(
                    f"{name} would be watched together by {listed(watched) if watched else 'no tag'}; "
                    f"it takes at least {MEMBERS_MIN} different numbers",
                    remedy="Name them in `tags`, give measured tags their units, or take `together` out.",
                    found=str(len(watched)),
                )
            )


def check_assets(draft: Draft) -> None:
    """Check that each asset has a type, binds each member to a tag of its own, and that units agree."""
    bound: dict[str, str] = {}
    for name, asset in draft.assets.items():
        located_type = draft.asset_types.get(asset.value.type)
        if located_type is None:
            if f"type {asset.value.type}" not in draft.broken:
                draft.findings.add(
                    asset.at.child("type").unknown(
                        asset.value.type,
                        what="asset type",
                        known=list(draft.asset_types),
                        remedy=f"The asset types are {listed(draft.asset_types)}.",
                    )
                )
        else:
            _check_members(draft, name, located_type.value.tags)
        for member, reference in asset.value.tags.items():
            alias, at = f"{name}.{member}", asset.at.child("tags", member)
            if reference in bound:
                draft.findings.add(
                    at.problem(
                        f"{alias} binds {reference}, which is bound to {bound[reference]} already",
                        remedy="Bind each tag once; a rule may name the other asset's member.",
                        found=reference,
                    )
                )
            bound.setdefault(reference, alias)
            _check_reference(draft, reference, at)
            _check_promise(draft, alias, at)


def _check_members(draft: Draft, name: str, promised: Iterable[str]) -> None:
    asset = draft.assets[name]
    known, broken = dict.fromkeys(promised), draft.broken_members_of(name)  # in order, and found at once
    for member in known:
        if member not in asset.value.tags and member not in broken:
            draft.findings.add(
                asset.at.child("tags").problem(
                    f"{name} lacks {member}, which every {asset.value.type} has",
                    remedy=f'Add {member} = "DEVICE/TAG", or take it out of the asset type.',
                    found="nothing",
                )
            )
    for member in asset.value.tags:
        if member in known or member in broken:
            continue
        near = nearest(member, list(known))
        draft.findings.add(
            asset.at.child("tags", member).problem(
                f"{asset.value.type} has no member {member}" + (f"; did you mean {near}?" if near else ""),
                remedy=f"Write {near}." if near else f"Add it to the asset type; its members are {listed(known)}.",
                found=member,
                near=near,
            )
        )


def _check_reference(draft: Draft, reference: str, at: Origin) -> None:
    device, _, tag = reference.partition("/")
    if f"device {device}" in draft.broken or f"tag {reference}" in draft.broken:
        return
    if device not in draft.devices:
        draft.findings.add(
            at.unknown(
                device, what="device", known=list(draft.devices), remedy=f"The devices are {listed(draft.devices)}."
            )
        )
    elif tag not in draft.tags.get(device, {}):
        draft.findings.add(
            at.unknown(
                tag,
                what=f"tag of {device}",
                known=list(draft.tags.get(device, {})),
                remedy=f"Name one of the rows of {device}'s tag list.",
            )
        )


def _check_promise(draft: Draft, alias: str, at: Origin) -> None:
    """Compare what the contract says of a tag with what its tag list says."""
    member = draft.resolve(alias)
    if member is None:
        return
    contract, tag = member.contract, member.tag
    if contract.units and tag.units and contract.units != tag.units:
        draft.findings.add(
            at.problem(
                f"{alias} is in {contract.units} by its contract and in {tag.units} by the tag list of {member.device.name}",
                remedy="Correct one, or convert with scale and offset in the tag list; units are never converted silently.",
                found=tag.units,
                allowed=contract.units,
            )
        )
    if tag.type == "string":
        _check_text(draft, alias, contract, at)
    periods = periods_of(member.device, tag)
    is_subscribed = periods.shortest_ms != periods.longest_ms
    # A silence of two keep-alives is answered with a read: what turns stale sooner would stay so until its next change.
    heard_s = periods.heard_ms / 1000 * (2 if is_subscribed else 1)
    sampled_s = periods.longest_ms / 1000
    for key, scan_rate_s in (("stale_after_s", heard_s), ("stuck_after_s", sampled_s), ("source_age_max_s", sampled_s)):
        limit = getattr(contract, key)
        if isinstance(limit, float) and limit <= scan_rate_s:
            more_often = "shorten its max_report_interval_s" if is_subscribed else "read the tag more often"
            draft.findings.add(
                at.problem(
                    f"{alias}: {key} = {limit:g} s, but the tag is read every {scan_rate_s:g} s, so it would never be good",
                    remedy=f"Set {key} to at least {3 * scan_rate_s:g}, or {more_often}.",
                    found=f"{limit:g}",
                    allowed=f"above {scan_rate_s:g}",
                )
            )


def _check_text(draft: Draft, alias: str, contract: Contract, at: Origin) -> None:
    """A text has no range, rate or mean."""
    for key in ("units", "low", "high", "max_rate", *DETECTORS):
        if getattr(contract, key) not in (UNSET, None, ""):
            draft.findings.add(
                at.problem(
                    f"{alias} is a string by its tag list, and its contract has {key}, which only a number can keep",
                    remedy=f"Take {key} out of the contract, or correct the type in the tag list.",
                    found="string",
                )
            )


def check_rules(draft: Draft) -> None:
    """Check that rule ids are unique and that each rule writes only what may be written."""
    for name, rules in draft.type_rules.items():
        _check_ids(draft, rules, f"asset type {name}")
        for located in rules:
            _check_sense(draft, located)
            for asset in (asset for asset, value in draft.assets.items() if value.value.type == name):
                _check_target(draft, located, asset)
    _check_ids(draft, draft.rules, "the site")
    for located in draft.rules:
        _check_sense(draft, located)
        _check_target(draft, located, "")


def _check_ids(draft: Draft, rules: Iterable[Located[Rule]], owner: str) -> None:
    first: dict[str, Origin] = {}
    for rule, at in rules:
        if rule.id in first:
            line = first[rule.id].source.line_of(first[rule.id].path)
            draft.findings.add(
                at.child("id").problem(
                    f"{owner} has two rules {rule.id}; the first is in {first[rule.id].source.name}:{line}",
                    remedy="Give each rule an id of its own; decisions and alarms are found by it.",
                    found=rule.id,
                )
            )
        first.setdefault(rule.id, at)


def _check_sense(draft: Draft, located: Located[Rule]) -> None:
    rule, at = located
    if rule.on_unknown == "fail_safe" and rule.then is None:
        draft.findings.add(
            at.child("on_unknown").problem(
                f"rule {rule.id} has on_unknown = fail_safe but writes nothing",
                remedy="Add `then`, or leave on_unknown out.",
                found="fail_safe",
            )
        )
    if rule.then is None and rule.alarm is None:
        draft.findings.add(
            at.problem(
                f"rule {rule.id} has neither `then` nor `alarm`: it is journalled and does nothing",
                remedy="Add one of the two if it should do something.",
                severity="warning",
            )
        )


def _check_target(draft: Draft, located: Located[Rule], asset: str) -> None:
    rule, at = located
    if rule.then is None:
        return
    place = at.child("then", "set")
    if "." not in rule.then.set and not asset:
        draft.findings.add(
            place.refused(rule.then.set, allowed="ASSET.MEMBER in a rule of the site", remedy="Name the asset as well.")
        )
        return
    target = rule.then.set if "." in rule.then.set else f"{asset}.{rule.then.set}"
    if target in draft.writable() or "point" in draft.broken:
        return
    declared = any(point.value.tag == target for point in draft.points)
    if declared:
        draft.findings.add(
            place.problem(
                f"rule {rule.id} writes {target}, whose guard list is incomplete, so it is read-only",
                remedy="Complete its guard list in policies/, or take `then` out of the rule.",
                found=rule.then.set,
            )
        )
    elif draft.resolve(target) is None and not draft.is_excused(target):
        draft.findings.add(
            place.unknown(
                target, what="tag", known=draft.aliases(), remedy="Write a member of the asset, or ASSET.MEMBER."
            )
        )
    else:
        draft.findings.add(
            place.problem(
                f"rule {rule.id} writes {target}, which is no point",
                remedy=f'Add a [[point]] with tag = "{target}" and its whole guard list to policies/.',
                found=rule.then.set,
            )
        )
