"""What a replay found: how far it came, what could not be replayed and why, and the first difference."""

from __future__ import annotations

from msgspec import Struct


class FieldDifference(Struct, frozen=True):
    """One field that came out differently, as text."""

    name: str
    recorded: str
    computed: str


class Sample(Struct, frozen=True):
    """A tag that the cycle's inputs read, as the twin held it after the cycle."""

    tag: str
    value: float
    status: int
    source_time_ns: int


class Difference(Struct, frozen=True):
    """The first record that was not computed as it was journalled.

    Args:
        what: in one sentence.
        cycle: whose inputs gave it; 0 = not known.
        wall_ns: of that cycle.
        seq: of the journalled record; -1 if only the replay made one.
        recorded: kind of the journalled record; empty if there is none.
        computed: kind of the computed one; empty if there is none.
        fields: of the bodies, where both are of one kind.
        evidence: of the slices that both cite: `TAG.field`, or the text of a term.
        inputs: what the cycle was given, in words.
        samples: what its blocks read; tags of the evidence first.
        samples_in_all: in the cycle's blocks.
    """

    what: str
    cycle: int
    wall_ns: int
    seq: int = -1
    recorded: str = ""
    computed: str = ""
    fields: tuple[FieldDifference, ...] = ()
    evidence: tuple[FieldDifference, ...] = ()
    inputs: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    samples_in_all: int = 0


class Gap(Struct, frozen=True):
    """Something that could not be replayed.

    Args:
        why: in one sentence.
        first_cycle: of those that are missing; 0 = not known.
        last_cycle: likewise; 0 = to the end of the run.
        decisions: records of decisions in it; -1 = not counted.
    """

    why: str
    first_cycle: int = 0
    last_cycle: int = 0
    decisions: int = 0


class Report(Struct):
    """What there is so far; filled as the replay goes on.

    Args:
        first: record from which on records were compared; -1 = none yet.
        last: last record that was compared.
        records: compared, of all kinds that a cycle makes.
        decisions: how many of them are decisions.
        evidence: how many cite a slice, which was computed anew with them.
        cycles: repeated.
        samples: in their blocks.
        recorded_ns: how long the daemon took for these cycles, by its own clock.
        restarts: how often a run of the daemon began in what was replayed.
        sites: configurations that were in force.
        lost: records that the journal itself says it lost, and that were computed here.
        gaps: what could not be replayed.
        difference: the first; None = all that was compared is equal.
    """

    first: int = -1
    last: int = -1
    records: int = 0
    decisions: int = 0
    evidence: int = 0
    cycles: int = 0
    samples: int = 0
    recorded_ns: int = 0
    restarts: int = 0
    sites: int = 0
    lost: int = 0
    gaps: list[Gap] = []
    difference: Difference | None = None
