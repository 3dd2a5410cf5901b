"""The rules of a site, each where its author wrote it."""

from __future__ import annotations

from gatewayd.core.site import Digests, compile_site
from gatewayd.site.load import load_draft
from gatewayd.site.rule_list import list_rules


def listed(site):
    draft = load_draft(site.path)
    compiled = compile_site(draft.config(), plan_reads=lambda *_: (), digests=Digests(b"", b"", b""))
    return {entry.id: entry for entry in list_rules(compiled, draft)}


def test_every_instance_of_a_type_points_to_the_one_place_of_its_rule(site):
    rules = listed(site)

    first, second = rules["pump_1/bearing-hot"], rules["pump_2/bearing-hot"]
    line = site.line("twins/types.toml", "bearing_temp > 85 for 2s")
    assert (first.file, first.line, first.column) == (second.file, second.line, second.column)
    assert (first.file, first.line) == ("twins/types.toml", line)
    assert first.reads == ("pump_1.speed_sp", "pump_1.bearing_temp")


def test_a_window_is_told_with_the_memory_it_takes(site):
    (window,) = listed(site)["pump_1/bearing-hot"].windows

    assert (window.tag, window.seconds) == ("pump_1.bearing_temp", 10.0)
    assert window.bytes == 16 * window.samples


def test_a_rule_costs_the_steps_of_its_expressions_at_worst_the_samples_of_its_windows_too(site):
    rules = listed(site)
    rule, hot = rules["tank-high"], rules["pump_1/bearing-hot"]

    assert [part.part for part in rule.expressions] == ["when", "clear", "to"]
    assert rule.steps == sum(part.steps for part in rule.expressions)
    assert hot.steps > hot.windows[0].samples > rule.steps
