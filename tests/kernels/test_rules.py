"""The interpreter, in every form. The random comparison with the reference is tests/core/expr/test_reference.py."""

from __future__ import annotations

import itertools
import math
import struct

import pytest

from gatewayd.core.expr import opcodes as compiler_opcodes
from gatewayd.errors import KernelRefused
from kernels import opcodes
from kernels.table import ERROR_BOUNDS, STACK_MAX
from tests.core.expr.plant import BAD, GOOD, SECOND, START, UNCERTAIN, Plant, TagNames
from tests.kernels.harness import FORMS, kernels

NAN = math.nan
TRUE, FALSE = "a < 2", "a > 2"  # a is 1 in these tests
UNKNOWN = "b < 2"  # b is bad


@pytest.fixture(params=FORMS)
def plant(request):
    """Makes a plant in each form; a is 1, b is bad, c is 3."""

    def make(*expressions, names=None):
        made = Plant(expressions, names=names, kernels=kernels(request.param))
        made.sample("a", 1.0)
        made.sample("b", 1.0, BAD)
        made.sample("c", 3.0)
        return made

    return make


def number(text):
    return (text, "number")


def same(found, wanted):
    """NaN equals NaN."""
    return [str(value) for value in found] == [str(value) for value in wanted]


def test_the_compiler_and_the_kernel_number_the_operations_alike():
    numbers = {name: value for name, value in vars(opcodes).items() if name.isupper()}
    assert numbers == {name: getattr(compiler_opcodes, name) for name in numbers}
    assert sorted(numbers.values()) == sorted(compiler_opcodes.OPERATIONS) == list(range(1, len(numbers) + 1))
    assert compiler_opcodes.STACK_MAX == STACK_MAX


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (TRUE, TRUE, 1.0, 1.0),
        (TRUE, FALSE, 0.0, 1.0),
        (TRUE, UNKNOWN, NAN, 1.0),
        (FALSE, TRUE, 0.0, 1.0),
        (FALSE, FALSE, 0.0, 0.0),
        (FALSE, UNKNOWN, 0.0, NAN),
        (UNKNOWN, TRUE, NAN, 1.0),
        (UNKNOWN, FALSE, 0.0, NAN),
        (UNKNOWN, UNKNOWN, NAN, NAN),
    ],
)
def test_and_and_or_follow_kleene(plant, left, right, both, either):
    made = plant(f"{left} and {right}", f"{left} or {right}")
    made.run()
    assert same(made.results(), [both, either])


def test_not_follows_kleene(plant):
    made = plant(f"not {TRUE}", f"not {FALSE}", f"not {UNKNOWN}")
    made.run()
    assert same(made.results(), [0.0, 1.0, NAN])


def test_a_vote_is_what_two_of_three_say_whatever_the_third_does(plant):
    voters = {TRUE: 1.0, FALSE: 0.0, UNKNOWN: NAN}
    triples = list(itertools.product(voters, repeat=3))
    made = plant(*(f"vote({', '.join(triple)})" for triple in triples))
    made.run()
    for triple, found in zip(triples, made.results(), strict=True):
        said = [voters[voter] for voter in triple]
        wanted = 1.0 if said.count(1.0) >= 2 else 0.0 if said.count(0.0) >= 2 else NAN
        assert same([found], [wanted]), triple


def test_if_takes_the_value_the_condition_chooses_and_an_unknown_condition_chooses_none(plant):
    made = plant(
        number(f"10 if {TRUE} else 20"),
        number(f"10 if {FALSE} else 20"),
        number(f"10 if {UNKNOWN} else 10"),
        number(f"10 if {TRUE} else b"),  # what is not chosen may be unknown
        number(f"b if {TRUE} else 10"),
        number(f"1 if {FALSE} else 2 if {FALSE} else 3"),
    )
    made.run()
    assert same(made.results(), [10.0, 20.0, NAN, 10.0, NAN, 3.0])


def test_clamp_keeps_a_value_between_two_and_what_is_unknown_unknown(plant):
    texts = ("clamp(a, 2, 3)", "clamp(c, 0, 2)", "clamp(a, 0, 3)", "clamp(b, 0, 3)", "clamp(a, b, 3)", "clamp(a, 0, b)")
    made = plant(*(number(text) for text in texts))
    made.run()
    assert same(made.results(), [2.0, 2.0, 1.0, NAN, NAN, NAN])


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_comparing_with_unknown_is_unknown_and_never_true(plant, operator):
    made = plant(f"b {operator} 1", f"1 {operator} b", f"b {operator} b", f"a {operator} c")
    made.run()
    wanted = float(eval(f"1.0 {operator} 3.0"))
    assert same(made.results(), [NAN, NAN, NAN, wanted])


@pytest.mark.parametrize(
    "text", ["b + a", "a - b", "b * 0", "b / a", "-b", "abs(b)", "min(a, b)", "min(b, a)", "max(a, b)"]
)
def test_arithmetic_with_unknown_is_unknown(plant, text):
    assert math.isnan(plant(number(text)).ask())


@pytest.mark.parametrize(
    ("status", "stale", "value", "known"),
    [
        (GOOD, 0, 5.0, True),
        (0x00960000, 0, 5.0, True),  # Good_LocalOverride
        (UNCERTAIN, 0, 5.0, False),
        (BAD, 0, 5.0, False),
        (0xFFFFFFFF, 0, 5.0, False),
        (GOOD, 1, 5.0, False),
        (GOOD, 0, NAN, False),
    ],
)
def test_a_tag_reads_as_unknown_unless_it_is_good_and_not_stale(plant, status, stale, value, known):
    made = plant(number("a"))
    made.sample("a", value, status)
    made.tag.stale[0] = stale
    assert same([made.ask()], [5.0 if known else NAN])


@pytest.mark.parametrize("text", ["0 / 0", "a / 0", "-a / 0", "a / (a - 1)", "1e308 * 10 - 1e308 * 10"])
def test_what_has_no_value_is_unknown_with_the_one_nan(plant, text):
    made = plant(number(text))
    made.program.result[0] = 7.0
    assert made.run() == [0]
    assert struct.pack("<d", made.program.result[0]) == bytes.fromhex("000000000000f87f")


def test_a_result_of_minus_zero_is_stored_as_zero_and_is_no_change(plant):
    made = plant(number("a * 0"))
    made.run()
    made.sample("a", -1.0)
    assert made.run() == []
    assert math.copysign(1.0, made.result()) == 1.0


def test_only_programs_on_the_due_list_run_and_only_changed_results_are_listed(plant):
    made = plant("a > 2", "c > 2", "b > 2", number("a + c"))
    assert made.run(due=[3, 0, 2]) == [3, 0]  # unknown from the start is no change
    assert same(made.results(), [0.0, NAN, NAN, 4.0])
    assert made.run(due=[0, 1, 2, 3]) == [1]
    made.sample("a", 2.5)
    assert made.run() == [0, 3]
    made.sample("a", 2.5, BAD)
    assert made.run() == [0, 3]
    assert same(made.results(), [NAN, 1.0, NAN, NAN])


def test_nothing_due_reports_the_deadline_that_still_waits(plant):
    made = plant("a < 2 for 5s")
    made.run()
    made.out.value[0] = 99
    assert made.run(due=[]) == []
    assert made.next_deadline() == START + 5 * SECOND


class TestFor:
    def test_holds_only_after_its_condition_held_for_the_whole_time(self, plant):
        made = plant("a > 10 for 5s")
        made.sample("a", 11.0)
        assert made.ask() == 0.0
        assert made.next_deadline() == START + 5 * SECOND
        made.advance(4.999999999)
        assert made.ask() == 0.0
        made.advance(0.000000001)
        assert made.ask() == 1.0
        assert made.next_deadline() == 0
        made.sample("a", 9.0)
        assert made.ask() == 0.0
        assert made.register.since[0] == 0

    def test_a_dip_starts_the_wait_anew(self, plant):
        made = plant("a > 10 for 5s")
        made.sample("a", 11.0)
        made.run()
        made.advance(4)
        made.sample("a", 10.0)
        assert made.ask() == 0.0
        assert made.next_deadline() == 0
        made.advance(1)
        made.sample("a", 11.0)
        assert made.ask() == 0.0
        assert made.next_deadline() == START + 10 * SECOND

    def test_an_unknown_condition_is_unknown_and_starts_the_wait_anew(self, plant):
        made = plant("a > 10 for 5s")
        made.sample("a", 11.0)
        made.run()
        made.advance(5)
        made.sample("a", 11.0, BAD)
        assert math.isnan(made.ask())
        made.advance(1)
        made.sample("a", 11.0)
        assert made.ask() == 0.0
        made.advance(5)
        assert made.ask() == 1.0

    def test_it_waits_even_where_the_other_side_of_an_or_is_already_true(self, plant):
        made = plant("c == 3 or (a > 10 for 5s)")
        made.sample("a", 11.0)
        assert made.ask() == 1.0
        made.advance(5)
        made.sample("c", 4.0)
        assert made.ask() == 1.0

    def test_the_deadline_is_the_earliest_of_all_that_wait(self, plant):
        made = plant("(a > 0 for 9s) and (c > 0 for 7s)", "c > 0 for 8s", "a > 0 for 6s")
        made.run()
        assert list(made.program.deadline) == [START + 7 * SECOND, START + 8 * SECOND, START + 6 * SECOND]
        assert made.next_deadline() == START + 6 * SECOND
        made.advance(6)
        assert made.run(due=[2]) == [2]
        assert made.next_deadline() == START + 7 * SECOND

    def test_a_chain_after_a_for_goes_on(self, plant):
        made = plant("a > 10 for 5s and c > 2")
        made.sample("a", 11.0)
        made.run()
        made.advance(5)
        assert made.ask() == 1.0
        made.sample("c", 1.0)
        assert made.ask() == 0.0
        made.sample("c", 3.0)
        assert made.ask() == 1.0  # the wait was only for a


def test_stale_and_quality_are_known_of_a_tag_that_is_not(plant):
    made = plant("stale(a)", number("quality(a)"), "stale(b)", number("quality(b)"), "stale(c)", number("quality(c)"))
    made.turn_stale("a")
    made.run()
    assert made.results() == [1.0, 1.0, 0.0, 0.0, 0.0, 2.0]


def test_anomaly_is_unknown_until_a_detector_has_said_something(plant):
    made = plant("anomaly(a)")
    found = []
    for alarm in (-1, 0, 1, 2, 3):
        made.tag.anomaly[0] = alarm
        found.append(made.ask())
    assert same(found, [NAN, 0.0, 1.0, 1.0, 1.0])


class TestMemory:
    """`a` is the condition's tag: 0 false, 1 true, bad unknown. What remembers keeps it through unknown."""

    @pytest.fixture
    def told(self, plant):
        """Tells a plant what the condition is, second by second, and returns what its expression says."""

        def tell(text, *conditions, names=("a",)):
            made = plant(text if isinstance(text, tuple) else (text, "condition"))
            found = []
            for condition in conditions:
                made.advance(1)
                for name, value in zip(names, condition if isinstance(condition, tuple) else (condition,), strict=True):
                    made.sample(name, 0.0 if value == "?" else value, BAD if value == "?" else GOOD)
                found.append(made.ask())
            return "".join("?" if math.isnan(value) else f"{value:g}" for value in found)

        return tell

    def test_hysteresis_switches_on_at_one_limit_and_off_at_another(self, told):
        assert told("hysteresis(a, 5, 3)", 4, 5, 4, "?", 4, 3, 4) == "011?100"
        assert told("hysteresis(a, 3, 5)", 4, 3, 4, "?", 4, 5, 4) == "011?100"

    def test_a_latch_keeps_what_was_set_until_it_is_reset_and_the_reset_wins(self, told):
        steps = [(0, 0), (1, 0), (0, 0), (1, 1), (0, 0), (1, 0), (0, 1)]
        assert told("latch(a == 1, c == 1)", *steps, names=("a", "c")) == "0110010"

    def test_a_latch_says_what_does_not_depend_on_the_unknown(self, told):
        steps = [("?", 0), ("?", 1), (0, "?"), (1, "?"), (1, 0), ("?", 0), (0, "?"), (0, 0)]
        assert told("latch(a == 1, c == 1)", *steps, names=("a", "c")) == "?00?11?1"

    def test_an_edge_is_seen_once_and_not_at_the_start(self, told):
        assert told("rising(a == 1)", 1, 0, 1, 1, "?", 1, 0, "?", 1) == "0010?00?1"
        assert told("falling(a == 1)", 0, 1, 0, 0, "?", 0, 1, "?", 0) == "0010?00?1"

    def test_an_edge_is_over_in_the_next_pass(self, plant):
        made = plant("rising(a == 2)")
        made.ask()
        made.sample("a", 2.0)
        assert made.ask() == 1.0
        assert made.next_deadline() == made.now + 1
        made.now += 1
        assert made.ask() == 0.0

    def test_a_delay_on_waits_through_the_unknown_and_a_for_begins_anew(self, told):
        assert told("delay_on(a == 1, 2s)", 1, 1, 1, 0, 1, "?", 1) == "00100?1"
        assert told("a == 1 for 2s", 1, 1, 1, 0, 1, "?", 1, 1, 1) == "00100?001"

    def test_a_delay_off_goes_on_for_a_while(self, told):
        assert told("delay_off(a == 1, 2s)", 0, 1, 0, 0, 0, 1, 0, 1, 0, "?", 0) == "011101111?0"

    def test_a_delay_says_when_it_ends(self, plant):
        made = plant("delay_off(a == 1, 5s)")
        made.ask()
        made.sample("a", 0.0)
        assert made.ask() == 1.0
        assert made.next_deadline() == made.now + 5 * SECOND
        made.advance(5)
        assert made.ask() == 0.0
        assert made.next_deadline() == 0

    def test_prev_is_the_sample_before_and_no_run_without_a_new_one_moves_it(self, plant):
        made = plant(number("prev(a)"))
        assert math.isnan(made.ask())
        made.sample("a", 4.0)
        assert [made.ask(), made.ask()] == [1.0, 1.0]
        made.sample("a", 9.0, BAD)
        assert math.isnan(made.ask())
        made.sample("a", 6.0)
        assert made.ask() == 4.0


class TestClocks:
    def test_an_age_runs_again_exactly_when_its_comparison_turns(self, plant):
        made = plant("age(a) > 2.5")
        assert made.ask() == 0.0
        assert made.next_deadline() == START + round(2.5 * SECOND)
        made.now = made.next_deadline()
        assert made.ask() == 0.0
        made.now = made.next_deadline()
        assert made.ask() == 1.0
        assert made.next_deadline() == 0

    def test_an_age_that_is_not_compared_with_a_number_runs_every_second(self, plant):
        made = plant(number("age(a) + age(b)"))
        made.advance(0.25)
        assert made.ask() == 0.5
        assert made.next_deadline() == START + SECOND

    def test_a_tag_that_never_had_a_sample_has_no_age(self, plant):
        made = plant("age(d) > 1", names=TagNames("a", "b", "c", "d"))
        assert math.isnan(made.ask())

    @pytest.mark.parametrize(
        ("text", "at", "wanted", "wait"),
        [
            ('within("22:00", "06:00")', "21:59:50", 0.0, 10),
            ('within("22:00", "06:00")', "22:00:00", 1.0, 60),
            ('within("22:00", "06:00")', "05:59:59", 1.0, 1),
            ('within("22:00", "06:00")', "06:00:00", 0.0, 60),
            ('within("06:00", "22:00")', "06:00:00", 1.0, 60),
            ('within("06:00", "22:00")', "05:59:00", 0.0, 60),
            ("time_of_day() >= 3600", "00:59:58", 0.0, 2),
            ("time_of_day() >= 3600", "01:00:00", 1.0, 1e-9),
            ("time_of_day() >= 3600", "23:59:57", 1.0, 3),
        ],
    )
    def test_a_time_of_the_day_runs_again_when_it_turns_and_at_least_once_a_minute(self, plant, text, at, wanted, wait):
        made = plant(text)
        hours, minutes, seconds = (int(part) for part in at.split(":"))
        made.day = (hours * 3600 + minutes * 60 + seconds) * SECOND
        assert made.ask() == wanted
        assert made.next_deadline() == made.now + round(wait * SECOND)

    def test_a_wall_clock_that_is_not_to_be_believed_has_no_time_of_day(self, plant):
        made = plant('within("22:00", "06:00")', "time_of_day() > 1")
        made.day = -1
        made.run()
        assert same(made.results(), [NAN, NAN])


def test_a_vote_of_many_is_known_as_soon_as_the_rest_cannot_change_it(plant):
    made = plant(
        f"vote(2, {TRUE}, {UNKNOWN}, {TRUE}, {UNKNOWN})",
        f"vote(3, {TRUE}, {UNKNOWN}, {TRUE}, {FALSE})",
        f"vote(3, {FALSE}, {UNKNOWN}, {TRUE}, {FALSE})",
        f"vote(4, {TRUE}, {TRUE}, {TRUE}, {TRUE})",
        f"vote(1, {FALSE}, {FALSE})",
    )
    made.run()
    assert same(made.results(), [1.0, NAN, 0.0, 1.0, 0.0])


def test_an_if_between_conditions_takes_the_one_that_is_chosen(plant):
    made = plant(
        f"{TRUE} if {TRUE} else {UNKNOWN}", f"{TRUE} if {FALSE} else {UNKNOWN}", f"true if {UNKNOWN} else true"
    )
    made.run()
    assert same(made.results(), [1.0, NAN, NAN])


def test_code_that_never_passed_the_verifier_is_an_error_code_not_a_crash(plant):
    made = plant("a > 1")
    for op in (0, 255, 200):
        made.columns["code.word"][0] = op
        with pytest.raises(KernelRefused) as caught:
            made._rules(1, 1, made.now, 0)
        assert caught.value.result == ERROR_BOUNDS


def test_the_stack_is_used_to_its_last_cell(plant):
    made = plant(number("a + (" * 15 + "a" + ")" * 15))
    assert made.ask() == 16.0


def test_a_chain_of_any_length_needs_two_cells(plant):
    made = plant(number(" + ".join(["a"] * 400)), names=TagNames("a", "b", "c"))
    assert made.ask() == 400.0
