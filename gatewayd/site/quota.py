"""The limits of the store must stand in their order: a warning before the end of automatic writes, each with its way back."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from gatewayd.model.config import Storage

if TYPE_CHECKING:  # a daemon asks for its quota again and again, and needs no reader of sites for it
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


def quota_in(folder: Path) -> int:
    """Return `storage.quota_mb` as gateway.toml has it now, MB; 0 = it cannot be read, or is none that is allowed.

    For a running daemon whose store is nearly full: somebody may have given it more room.
    """
    try:
        table = tomllib.loads((folder / "gateway.toml").read_text("utf-8"))
        return msgspec.convert(table["storage"], _Quota).quota_mb
    except (OSError, ValueError, KeyError):  # msgspec's and tomllib's are ValueErrors
        return 0


class _Quota(Struct):
    quota_mb: Annotated[int, Meta(ge=16, le=1_000_000)] = 0


def _changed(storage: Storage) -> set[str]:
    usual = Storage()
    return {name for name in storage.__struct_fields__ if getattr(storage, name) != getattr(usual, name)}
