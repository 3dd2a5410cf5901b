"""What `gatewayd device probe` found out about a device."""

from __future__ import annotations

from gatewayd.model.view import View


class ProbeRequest(View, frozen=True, kw_only=True):
    """One request of a probe and how it went."""

    scan_class: str
    request: str
    tags: int
    latency_ms: float
    quality: str


class ProbeTag(View, frozen=True, kw_only=True):
    """One tag as the device gave it; `raw` is hexadecimal, empty when the driver does not expose bytes."""

    name: str
    raw: str
    value: float | None
    quality: str
    units: str


class ProbeSurvey(View, frozen=True, kw_only=True):
    """What was found out about a device beside its tags; what could not be is left out.

    Args:
        identity: what it says of itself, by the standard's names.
        limits: by name, in the unit of the name; a text where a person must judge.
        clock_offset_ms: device minus gateway, and half the round trip as its uncertainty.
        suggested: keys of the device's configuration.
        problem: why the survey ended early.
    """

    identity: dict[str, str] = {}
    latency_min_ms: float | None = None
    latency_median_ms: float | None = None
    latency_max_ms: float | None = None
    limits: dict[str, int | float | str] = {}
    clock_offset_ms: float | None = None
    clock_uncertainty_ms: float | None = None
    suggested: dict[str, int] = {}
    problem: str = ""


class ProbeView(View, frozen=True, kw_only=True):
    """Answer of `device probe`."""

    device: str
    protocol: str
    address: str
    connect_ms: float | None  # null: no connection
    error: str
    remedy: str
    requests: tuple[ProbeRequest, ...]
    tags: tuple[ProbeTag, ...]
    survey: ProbeSurvey | None = None  # null: not asked for, or no connection
