"""`gatewayd replay` on the command line."""

from __future__ import annotations

import json

import pytest

from gatewayd.core.decide import arbitrate
from tests.replay.kept import FORM, running, some_blocks


@pytest.fixture
async def storage(tmp_path, monkeypatch):
    """The storage folder of a gateway that ran for three blocks and was stopped."""
    monkeypatch.setenv("GATEWAYD_KERNELS", FORM)
    async with running(tmp_path) as gateway:
        await some_blocks(gateway, 2)
    return gateway.store.parent


def test_equal_decisions_are_said_to_be_and_the_exit_code_is_0(gatewayd, storage):
    said = gatewayd("replay", str(storage))
    assert (said.code, said.err) == (0, "")
    assert "Every decision is equal, bit for bit." in said.out
    assert "of them decisions" in said.out
    assert "Not replayed" not in said.out


@pytest.mark.parametrize("place", [".", "store", "../"])
def test_store_storage_folder_and_site_all_lead_to_it(gatewayd, storage, place):
    assert gatewayd("replay", str(storage / place)).code == 0


def test_json_says_the_same(gatewayd, storage):
    said = gatewayd("replay", str(storage), "--json")
    told = json.loads(said.out)
    assert (said.code, told["equal"], told["difference"], told["gaps"]) == (0, True, None, [])
    assert told["decisions"] > 5
    assert told["took_ns"] > 0


def test_a_difference_is_shown_with_its_inputs_and_the_exit_code_is_1(gatewayd, storage, monkeypatch):
    monkeypatch.setattr(arbitrate, "COMMAND_TTL_NS", 11_000_000_000)
    said = gatewayd("replay", str(storage))
    assert said.code == 1
    for part in ("DIFFERENT", "The first difference", "expires_mono_ns", "Its inputs", "responses of plc", "load_1."):
        assert part in said.out
    told = json.loads(gatewayd("replay", str(storage), "--json").out)
    assert (told["equal"], told["difference"]["fields"][0]["name"]) == (False, "expires_mono_ns")


def test_an_export_made_for_it_replays_where_there_is_no_gateway(gatewayd, storage, tmp_path):
    made = gatewayd("journal", "export", str(storage), str(tmp_path / "audit"), "--for-replay")
    assert f"gatewayd replay {tmp_path / 'audit'}" in made.out
    storage.rename(tmp_path / "elsewhere")
    said = gatewayd("replay", str(tmp_path / "audit"))
    assert (said.code, said.err) == (0, "")
    assert "Every decision is equal, bit for bit." in said.out


def test_an_export_without_inputs_says_what_it_lacks(gatewayd, storage, tmp_path):
    made = gatewayd("journal", "export", str(storage), str(tmp_path / "audit"))
    assert "--for-replay adds" in made.out
    said = gatewayd("replay", str(tmp_path / "audit"))
    assert said.code == 4
    assert "--for-replay" in said.err


def test_nothing_to_replay_is_an_error_with_a_remedy(gatewayd, tmp_path):
    said = gatewayd("replay", str(tmp_path))
    assert said.code == 4
    assert "Remedy" in said.err


def test_other_kernels_are_exit_code_3(gatewayd, storage, monkeypatch):
    monkeypatch.setenv("GATEWAYD_KERNELS", "aot" if FORM == "python" else "python")
    said = gatewayd("replay", str(storage))
    assert said.code == 3
    assert "was taken with the kernels" in said.err


def test_ctrl_c_tells_what_was_found_so_far(gatewayd, storage, monkeypatch):
    from gatewayd.replay import engine

    original = engine.inputs_of
    seen = []

    def interrupted(source, block):
        seen.append(block)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return original(source, block)

    monkeypatch.setattr(engine, "inputs_of", interrupted)
    said = gatewayd("replay", str(storage))
    assert said.code == 130
    assert "this is what was found so far" in said.err
    assert "are equal" in said.out
