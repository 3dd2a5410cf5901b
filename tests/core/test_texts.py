"""The side table of texts: bounded, and the same for the same samples."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.texts import NO_ROOM, Texts

STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["a", "bb", "on", "off", "\u00e4" * 12, ""])), max_size=30
)


def test_equal_texts_have_one_id_and_different_ones_differ() -> None:
    texts = Texts()
    running, stopped = texts.hold(0, "running"), texts.hold(1, "stopped")
    assert texts.hold(2, "running") == running != stopped
    assert [texts.get(running), texts.get(float(stopped)), texts.get(math.nan), texts.get(99)] == [
        "running",
        "stopped",
        None,
        None,
    ]


def test_a_text_that_comes_back_has_its_old_id() -> None:
    texts = Texts()
    first = texts.hold(0, "running")
    texts.hold(0, "stopped")
    assert texts.hold(0, "running") == first


def test_the_text_that_nobody_has_held_for_longest_goes_first() -> None:
    texts = Texts(texts_max=3)
    for text in ("a", "b", "c", "d"):
        texts.hold(0, text)
    assert [texts.get(text_id) for text_id in (1, 2, 3, 4)] == [None, "b", "c", "d"]
    assert texts.hold(0, "a") == 5, "an id never returns"


def test_a_row_that_finds_no_room_holds_nothing() -> None:
    texts = Texts(bytes_max=4)
    texts.hold(0, "abcd")
    assert texts.hold(1, "e") == NO_ROOM
    texts.hold(0, "ab")
    assert texts.hold(1, "e") != NO_ROOM
    assert texts.size_bytes == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "a", "ü", "abc", "abcd", "\ud800"]))))
def test_the_table_keeps_its_limits_and_gives_the_same_ids_again(samples: list[tuple[int, str]]) -> None:
    """P-BOUND, P-REPLAY."""
    first, again = Texts(texts_max=3, bytes_max=6), Texts(texts_max=3, bytes_max=6)
    held: dict[int, str] = {}
    for row, text in samples:
        text_id = first.hold(row, text)
        assert text_id == again.hold(row, text)
        held.pop(row, None)
        if text_id != NO_ROOM:
            assert first.get(text_id) == text
            held[row] = text
        else:
            assert len({*held.values(), text}) > 3 or sum(len(t.encode(errors="replace")) for t in held.values()) > 1
        assert len(first) <= 3
        assert first.size_bytes <= 6
        assert all(first.hold(other, kept) != NO_ROOM for other, kept in held.items())


@given(before=STEPS, after=STEPS)
def test_what_another_table_took_up_goes_on_with_the_same_ids(
    before: list[tuple[int, str]], after: list[tuple[int, str]]
):
    first, second = Texts(texts_max=4, bytes_max=40), Texts(texts_max=4, bytes_max=40)
    for row, text in before:
        first.hold(row, text)
    second.take_up(first.held())
    assert [second.hold(row, text) for row, text in after] == [first.hold(row, text) for row, text in after]
    assert (second.size_bytes, second.held()) == (first.size_bytes, first.held())
