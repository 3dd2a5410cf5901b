from __future__ import annotations

from gatewayd.site import problem as problem_module
from gatewayd.site.problem import Findings, Problem, describe, has_errors, listed, nearest, shown


def test_a_problem_is_printed_with_its_place_and_its_remedy():
    found = Problem(
        file="devices/plc.toml", line=7, message="device.unit_id is 300; allowed is 0 to 255", remedy="Set it."
    )

    assert describe(found) == "devices/plc.toml:7: device.unit_id is 300; allowed is 0 to 255\n  remedy: Set it."


def test_a_warning_says_so_and_keeps_nothing_from_starting():
    warning = Problem(file="f", message="m", remedy="r", severity="warning")

    assert describe(warning) == "f: warning: m\n  remedy: r"
    assert not has_errors([warning])


def test_the_same_problem_is_listed_once_and_all_are_in_order_of_file_and_line():
    findings = Findings()
    for file, line in (("b", 1), ("a", 9), ("a", 2), ("b", 1)):
        findings.add(Problem(file=file, line=line, message="m", remedy="r"))

    assert [(p.file, p.line) for p in findings.all()] == [("a", 2), ("a", 9), ("b", 1)]


def test_the_list_of_problems_has_a_limit_and_says_how_many_it_left_out(monkeypatch):
    monkeypatch.setattr(problem_module, "PROBLEMS_MAX", 3)
    findings = Findings()
    for line in range(10):
        findings.add(Problem(file="a", line=line, message="m", remedy="r"))

    assert len(findings.all()) == 4
    assert findings.all()[-1].message == "7 more problems are not listed"


def test_the_nearest_name_ignores_case_and_gives_up_on_what_is_too_far():
    assert nearest("Speed_SP", ["speed_sp", "speed"]) == "speed_sp"
    assert nearest("xyz", ["speed_sp"]) == ""


def test_values_and_lists_are_cut_to_what_a_person_reads():
    assert len(shown("x" * 1000)) == problem_module.SHOWN_MAX
    assert shown(True) == "true"
    assert listed(map(str, range(20))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"
    assert listed([]) == "none"
