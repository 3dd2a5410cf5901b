"""A new epoch that nobody has seen yet: automatic writes wait for a person.

Where a damaged store was given up, its overrides are gone, and with them what people on site had held. Policy must not
take those points before somebody has looked (decision 0017). What the old store still says of overrides is named, so
that people can set them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.core.decide.lifecycle import UNSEEN_KEY
from gatewayd.core.decide.people import SavedOverride
from gatewayd.errors import UNDECODABLE
from gatewayd.journal.care.left_behind import rows_left_behind
from gatewayd.journal.keys import PreviousLog
from gatewayd.model.record import Gap

PREFIX = b"override/"
NAMED_MAX = 100
REMEDY = "Look at the plant, set again what must hold, then `gatewayd resume --reason TEXT`."


class Held(Struct, frozen=True, array_like=True):
    """An override that may have held when its store was given up."""

    point: str
    value: float
    until_wall_ns: int
    by: str


class Unseen(Struct, frozen=True, array_like=True):
    """Why automatic writes wait. Saved until a person has acknowledged it.

    Args:
        previous: name of the log that was given up.
        held: overrides that its store still shows.
    """

    previous: str
    held: tuple[Held, ...] = ()

    @property
    def reason(self) -> str:
        """Return why, in short."""
        return f"the journal {self.previous} was damaged and its saved state is lost; a person must resume"

    def warnings(self) -> Iterator[str]:
        """Yield what status says, the most important first."""
        yield f"AUTOMATIC WRITES ARE OFF: {self.reason}. {REMEDY}"
        for one in self.held:
            yield f"{one.point} may have been held at {one.value:g} by {one.by or 'a person'} when that happened"

    def gap(self) -> Gap:
        """Return the record that says what was lost with the saved state. People are not named in it."""
        points = ", ".join(dict.fromkeys(one.point for one in self.held)) or "none that can be read"
        reason = f"saved state of {self.previous}; overrides may have held: {points}"
        return Gap(stream="saved", first=0, last=0, count=len(self.held), reason=reason[:500])


def unseen_after(previous: PreviousLog, storage: Path, *, now_wall_ns: int) -> Unseen:
    """Look into a store that was given up.

    Args:
        previous: the log.
        storage: the folder in which its store is kept.
        now_wall_ns: overrides that ended before are left out.
    """
    newest: dict[str, SavedOverride] = {}
    for _, value in rows_left_behind(storage / previous.kept_as, PREFIX):
        with suppress(*UNDECODABLE):
            saved = msgspec.msgpack.decode(value, type=SavedOverride)
            if saved.expires_wall_ns > now_wall_ns and saved.id >= getattr(newest.get(saved.point), "id", 0):
                newest[saved.point] = saved
    held = [Held(one.point, one.value, one.expires_wall_ns, one.actor.name) for _, one in sorted(newest.items())]
    return Unseen(previous.origin, tuple(held[:NAMED_MAX]))


def saved_unseen(saves: dict[str, bytes]) -> Unseen | None:
    """Return what an earlier start found and nobody has acknowledged yet."""
    saved = saves.get(UNSEEN_KEY, b"")
    return msgspec.msgpack.decode(saved, type=Unseen) if saved else None


def encode_unseen(unseen: Unseen) -> bytes:
    """Return its saved form."""
    return msgspec.msgpack.encode(unseen)
