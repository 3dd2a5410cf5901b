"""The limits of the store must stand in their order: a warning before the end of automatic writes, each with its way back."""

from __future__ import annotations

from itertools import pairwise

from gatewayd.model.config import Storage
from gatewayd.site.draft import Draft

_ORDER = ("warn_clear_percent", "warn_percent", "resume_percent", "monitor_percent")


def check_quota(draft: Draft) -> None:
    """Check [storage]: its limits against each other, and the flight recorder's share against the whole."""
    if draft.gateway is None:
        return
    storage, at = draft.gateway.value.storage, draft.gateway.at.child("storage")
    for lower, upper in pairwise(_ORDER):
        low, high = getattr(storage, lower), getattr(storage, upper)
        if low > high or (low == high and upper != "resume_percent"):
            draft.findings.add(
                at.child(lower).refused(
                    low,
                    allowed=f"below {upper} = {high}",
                    remedy=f"Write them in this order: {' < '.join(_ORDER)}; each way back needs some distance.",
                )
            )
    if "evidence_mb" in _changed(storage) and storage.evidence_mb > storage.quota_mb:
        draft.findings.add(
            at.child("evidence_mb").refused(
                storage.evidence_mb,
                allowed=f"at most quota_mb = {storage.quota_mb}",
                remedy="The flight recorder's blocks are a part of the store; lower evidence_mb or raise quota_mb.",
            )
        )


def _changed(storage: Storage) -> set[str]:
    usual = Storage()
    return {name for name in storage.__struct_fields__ if getattr(storage, name) != getattr(usual, name)}
