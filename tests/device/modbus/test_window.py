from __future__ import annotations

from gatewayd.device.modbus.window import OutstandingWindow


def answer_in_order(window: OutstandingWindow, count: int) -> None:
    for _ in range(count):
        window.note_answer(is_oldest=True, outstanding=window.limit)


def test_a_loss_with_one_request_open_says_nothing_about_pipelining() -> None:
    window = OutstandingWindow(8)
    window.note_loss(1)
    window.note_loss(0)
    assert window.limit == 8


def test_before_a_full_window_was_answered_a_loss_with_several_open_ends_pipelining() -> None:
    window = OutstandingWindow(8)
    answer_in_order(window, 7)
    window.note_loss(8)
    assert (window.limit, window.is_unproven) == (1, False)


def test_a_device_that_has_shown_it_can_is_forgiven_one_loss_but_not_two() -> None:
    window = OutstandingWindow(8)
    answer_in_order(window, 8)
    assert not window.is_unproven
    window.note_loss(8)
    assert (window.limit, window.is_unproven) == (8, True)
    window.note_loss(8)
    assert window.limit == 1


def test_a_device_that_shows_it_again_after_a_loss_is_forgiven_again() -> None:
    window = OutstandingWindow(4)
    for _ in range(3):
        answer_in_order(window, 4)
        window.note_loss(4)
    assert window.limit == 4


def test_a_hole_in_the_answers_proves_nothing() -> None:
    """A server that reads one request per segment answers the first of a batch and then whatever comes alone."""
    window = OutstandingWindow(3)
    for _ in range(10):
        window.note_answer(is_oldest=True, outstanding=3)
        window.note_answer(is_oldest=False, outstanding=3)
    window.note_loss(2)
    assert window.limit == 1


def test_answers_to_a_request_that_was_open_alone_prove_nothing() -> None:
    window = OutstandingWindow(2)
    for _ in range(10):
        window.note_answer(is_oldest=True, outstanding=1)
    assert window.is_unproven


def test_a_limit_of_one_needs_no_proof_and_stays() -> None:
    window = OutstandingWindow(1)
    assert not window.is_unproven
    window.note_loss(1)
    assert (window.limit, window.is_unproven) == (1, False)
