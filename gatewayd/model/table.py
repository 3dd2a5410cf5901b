"""Base of every table of the configuration, and the kinds of cells that many tables have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Duration = Annotated[float, Meta(gt=0, le=31_536_000)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Milliseconds = Annotated[int, Meta(ge=0, le=3_600_000)]


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table."""
