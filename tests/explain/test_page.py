"""The page: one file, no network, nothing from the record ever markup."""

from __future__ import annotations

from datetime import UTC
from html.parser import HTMLParser

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewayd.cli import explanation
from gatewayd.explain.page import page
from gatewayd.explain.trend import of_evidence
from gatewayd.model.view import Explanation
from tests.control.fake_gateway import EXPLANATION

VOID = {"meta", "br", "line", "rect", "path", "circle"}
HOSTILE = "<script>alert('x')</script>\"'&\x1b[31m\x07"


class Parsed(HTMLParser):
    """What a browser would see: the tags, and whether each that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.urls: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.urls += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        assert all(not name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def hostile(found: Explanation) -> Explanation:
    """The same explanation with every text of it an attack."""

    def spoil(value: object) -> object:
        if isinstance(value, dict):
            return {key: spoil(one) for key, one in value.items()}
        if isinstance(value, list):
            return [spoil(one) for one in value]
        return value + HOSTILE if isinstance(value, str) else value

    return msgspec.convert(spoil(msgspec.to_builtins(found)), Explanation)


def with_trends(found: Explanation) -> Explanation:
    return msgspec.structs.replace(found, account=msgspec.structs.replace(found.account, trends=of_evidence(found)))


def test_the_page_needs_nothing_from_anywhere():
    parsed = Parsed(page(with_trends(EXPLANATION), UTC))
    assert parsed.open == []
    assert parsed.urls == []
    assert not parsed.tags & {"script", "link", "img", "iframe"}
    assert {"svg", "title", "desc", "table"} <= parsed.tags


def test_hostile_texts_are_only_texts():
    told = page(hostile(with_trends(EXPLANATION)), UTC)
    parsed = Parsed(told)
    assert parsed.open == []
    assert "script" not in parsed.tags
    assert "\x1b" not in told
    assert "\x07" not in told


def test_the_text_form_drives_no_terminal():
    told = explanation.page(hostile(EXPLANATION))
    assert "\x07" not in told
    assert "\x1b[31m" not in told.replace("\x1b[31mBad", "")  # the colour of the word Bad is our own


def test_the_answer_comes_first():
    told = page(EXPLANATION, UTC)
    assert told.index("was set to 52.5 %") < told.index("verified: read back") < told.index("<h2>")


def test_what_is_not_recorded_stands_on_the_page():
    assert "the person&#x27;s reason: redacted" in page(EXPLANATION, UTC)
    assert "No sample around the decision is recorded" in page(EXPLANATION, UTC)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_whatever_is_missing_every_form_is_written(data):
    """Each part may be absent, each number unknown."""
    account = EXPLANATION.account
    absent = {
        name: data.draw(st.sampled_from([getattr(account, name), empty]), label=name)
        for name, empty in {
            "rule": None, "traces": (), "attempts": (), "limits": None, "is_included": None, "before": None,
            "after": None, "gateway_version": "", "not_recorded": (),
        }.items()
    }  # fmt: skip
    detail = EXPLANATION.detail
    values = data.draw(st.tuples(*[st.none() | st.floats(allow_nan=False, allow_infinity=False)] * 3))
    decision = msgspec.structs.replace(
        detail.decision,
        value=values[0],
        previous=values[1],
        write=data.draw(st.booleans()),
        slot=data.draw(st.integers(0, 16)),
    )
    write = data.draw(st.sampled_from([detail.write, None]))
    found = msgspec.structs.replace(
        EXPLANATION,
        detail=msgspec.structs.replace(detail, decision=decision, proposed=values[2], write=write),
        account=data.draw(st.sampled_from([None, msgspec.structs.replace(account, **absent)])),
        evidence_intact=data.draw(st.sampled_from([True, False, None])),
    )
    assert Parsed(page(found, UTC)).open == []
    assert explanation.page(found)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Explanation) == found
