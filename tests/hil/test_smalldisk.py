"""A real file system of 8 or 12 MB is filled to the last byte under a journal, by others and by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.smalldisk import LAST_WORDS, LOOKS_MAX, STORIES, play


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_full_disk_stops_automatic_writes_loses_nothing_and_everything_goes_on_by_itself(
    tmp_path: Path, story: str
) -> None:
    """P07. A look is a second."""
    result, why_not = play(story, tmp_path)
    if result is None:
        pytest.skip(why_not)
    assert result["looks_to_stop"] <= LOOKS_MAX
    assert result["looks_to_go"] <= LOOKS_MAX
    assert result["changes"] == ["stop", "go"]
    if story == "exhausted":
        assert (result["had_ballast"], result["said"] > 10 * LAST_WORDS) == (False, True)
    else:
        assert (result["had_ballast"], result["last_words"]) == (True, LAST_WORDS)
    assert (result["problem"], result["verified"]) == (None, result["acknowledged"])
    assert result["gap_told"]
    assert result["goes_on"]
    assert result["has_ballast"], "made again"
