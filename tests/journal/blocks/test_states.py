"""The stored form of a snapshot is bounded and checked before anything is made of it. Which are kept: test_recorder.py."""

from __future__ import annotations

from hashlib import sha256

import pytest
import zstandard

from gatewayd.compiled import load_kernels
from gatewayd.core.snapshot import capture, restore
from gatewayd.errors import JournalDamaged
from gatewayd.journal.blocks.states import NO_STATE, Camera, PackedState, StatePolicy, pack_state, unpack_state
from tests.core.scenario import FORM, hot_plant


def test_a_state_comes_back_from_its_stored_form():
    plant = hot_plant()
    packed = pack_state(capture(plant.state, plant.site, cycle=2))
    assert packed.digest == sha256(packed.content).digest()
    state, cycle = restore(unpack_state(*packed), plant.site, load_kernels(FORM))
    assert (cycle, state.column("tag.value").tobytes()) == (2, plant.state.column("tag.value").tobytes())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not zstd",
        zstandard.ZstdCompressor().compress(bytes(300 << 20)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100)),
    ],
    ids=["empty", "no zstd", "bomb", "unknown size"],
)
def test_a_snapshot_with_the_right_hash_and_hostile_content_is_refused(content):
    with pytest.raises(JournalDamaged):
        unpack_state(content, sha256(content).digest())


def test_a_snapshot_too_large_for_the_quota_is_not_kept():
    policy = StatePolicy(8_000)
    small, large = PackedState(bytes(1_000), b"s"), PackedState(bytes(1_001), b"l")
    assert policy.choose(small, is_cited=False, is_first=True) == small
    assert policy.choose(large, is_cited=False, is_first=True) == NO_STATE


def test_the_memory_of_a_copy_is_used_again_once_it_is_given_back_and_not_before():
    plant = hot_plant()
    camera = Camera(lambda buffer: capture(plant.state, plant.site, cycle=2, buffer=buffer))
    first, second = camera.look(), camera.look()
    assert first.cells is not second.cells
    camera.take_back(first)
    assert camera.look().cells is first.cells
