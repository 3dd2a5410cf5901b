"""The effects of a cycle while they are being written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from gatewayd.model.decision import Command, Effects, Inputs, NewRecord, Reply
from gatewayd.model.record import Body


@dataclass(slots=True)
class Draft:
    """Collects what one cycle wants journalled, sent and answered."""

    cycle: int
    wall_ns: int
    mono_ns: int
    records: list[NewRecord] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    answers: list[tuple[Reply, int]] = field(default_factory=list)  # accepted, on a point; complete once it is decided
    saves: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs) -> Draft:
        """Start from a cycle's inputs."""
        return cls(cycle=inputs.cycle, wall_ns=inputs.wall_ns, mono_ns=inputs.mono_ns)

    def record(self, body: Body, *, evidence: bytes = b"", **personal: str) -> None:
        """Add a record; `personal` texts are hashed with a salt by the journal."""
        texts = {name: text for name, text in personal.items() if text}
        self.records.append(NewRecord(body=body, personal=texts, evidence=evidence))

    def answer(self, reply: Reply, point: int) -> None:
        """Accept a request on a point; `answers.complete` adds what the cycle then decided."""
        self.answers.append((reply, point))

    @staticmethod
    def cite(evidence: bytes) -> bytes:
        """Return the digest by which a record cites its evidence."""
        return hashlib.sha256(evidence).digest()

    def effects(self, next_mono_ns: int) -> Effects:
        """Freeze."""
        return Effects(
            records=tuple(self.records),
            commands=tuple(self.commands),
            replies=tuple(self.replies),
            saves=self.saves,
            next_mono_ns=next_mono_ns,
        )
