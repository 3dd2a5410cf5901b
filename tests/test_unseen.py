"""Where a damaged journal was given up, automatic writes wait for a person, who is told what may have been held."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gatewayd.core.decide.lifecycle import UNSEEN_KEY
from gatewayd.core.decide.people import SavedOverride
from gatewayd.journal.keys import PreviousLog
from gatewayd.model.record import Actor
from gatewayd.unseen import Held, Unseen, encode_unseen, saved_unseen, unseen_after
from tests.journal.conftest import open_journal, open_store

NOW = 1_750_000_000_000_000_000
HOUR = 3_600 * 10**9
PREVIOUS = PreviousLog("acme.example/gw/e1", "", "the tree is damaged", "store-e1-damaged")
ANA = Actor(uid=1001, role="operator", method="socket", name="ana")


def saved(number: int, point: str, value: float, *, ends_ns: int = NOW + HOUR) -> bytes:
    return msgspec.msgpack.encode(
        SavedOverride(
            id=number,
            point=point,
            value=value,
            expires_mono_ns=1,
            expires_wall_ns=ends_ns,
            actor=ANA,
            reason="bearing check",
            set_wall_ns=NOW - HOUR,
        )
    )


async def left_behind(folder: Path, *saves: tuple[str, bytes]) -> Unseen:
    store = open_store(folder / PREVIOUS.kept_as, 4 << 20)
    journal = open_journal(store)
    for point, value in saves:
        await journal.commit([], saves={f"override/{point}": value})
    store.close()
    return unseen_after(PREVIOUS, folder, now_wall_ns=NOW)


async def test_overrides_that_may_have_held_are_named_newest_first_of_each_point(tmp_path):
    unseen = await left_behind(
        tmp_path,
        ("pump_1.speed_sp", saved(3, "pump_1.speed_sp", 40.0)),
        ("pump_1.speed_sp", saved(5, "pump_1.speed_sp", 55.0)),
        ("valve", saved(4, "valve", 0.0, ends_ns=NOW - 1)),
        ("damaged", b"what nobody saved"),
    )
    assert unseen == Unseen(PREVIOUS.origin, (Held("pump_1.speed_sp", 55.0, NOW + HOUR, "ana"),))


async def test_people_are_told_what_to_do_and_the_record_names_points_but_nobody(tmp_path):
    unseen = await left_behind(tmp_path, ("valve", saved(4, "valve", 0.25)))
    first, second = unseen.warnings()
    assert first.startswith("AUTOMATIC WRITES ARE OFF")
    assert "gatewayd resume --reason" in first
    assert second == "valve may have been held at 0.25 by ana when that happened"
    gap = unseen.gap()
    assert (gap.stream, gap.count) == ("saved", 1)
    assert "valve" in gap.reason
    assert "ana" not in gap.reason.replace("damaged", "")


def test_a_store_that_is_gone_says_that_nothing_can_be_read(tmp_path):
    unseen = unseen_after(PREVIOUS, tmp_path, now_wall_ns=NOW)
    assert unseen.held == ()
    assert "none that can be read" in unseen.gap().reason


def test_it_is_saved_until_somebody_has_seen_it():
    unseen = Unseen("acme.example/gw/e1", (Held("valve", 1.0, NOW, "ana"),))
    assert saved_unseen({UNSEEN_KEY: encode_unseen(unseen)}) == unseen
    assert saved_unseen({}) is None
    assert saved_unseen({UNSEEN_KEY: b""}) is None
