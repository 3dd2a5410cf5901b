"""What the local API says of decisions that people retain, and takes for it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gatewayd.model.view import REASON_CHARS_MAX, View


class RetainRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST and DELETE /v1/decisions/{id}/retention."""

    reason: Annotated[str, Meta(min_length=3, max_length=REASON_CHARS_MAX)]


class RetentionAnswer(View, frozen=True, kw_only=True):
    """Answer to them."""

    message: str
    decision_id: int


class RetainedView(View, frozen=True, kw_only=True):
    """A decision whose recorded inputs a person wants kept."""

    id: int
    cycle: int
    since_ns: int
    point: str
    recorded: bool  # the flight recorder has the inputs of its cycle


class RetainedList(View, frozen=True, kw_only=True):
    """Answer to GET /v1/retained."""

    now_ns: int
    retained: tuple[RetainedView, ...]
