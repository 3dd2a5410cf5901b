"""What each path answers, to whom, and how it says no. Asked over a real socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewayd.control.routes import ROUTES
from gatewayd.errors import DeviceTimeout, StoreFull
from gatewayd.model.record import Actor
from gatewayd.model.view import ClearRequest, OverrideRequest
from tests.control.fake_gateway import TAGS, FakeGateway, tag
from tests.control.serving import serving

SOMEBODY = 4321  # neither root nor the daemon's uid: relies on groups
ASK = {"point": "pump_1.speed_sp", "value": 40.0, "duration_s": 1800, "reason": "bearing check"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def ask(served, method: str, target: str, body: object = None) -> tuple[int, dict]:
    client = served.client()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    client.request(method, target, body=raw)
    answer = client.getresponse()
    decoded = json.loads(answer.read())
    client.close()
    return answer.status, decoded


def test_tags_are_found_by_name_and_by_alias_with_globs(path):
    with serving(FakeGateway(), path) as served:
        names = {
            glob: [found["name"] for found in ask(served, "GET", f"/v1/tags?match={glob}")[1]["tags"]]
            for glob in ("", "*", "plc2/*", "pump_1.*", "tank.level", "nothing")
        }
    everything = [found.name for found in TAGS]
    assert names == {
        "": everything,
        "*": everything,
        "plc2/*": everything[2:],
        "pump_1.*": everything[:2],
        "tank.level": ["plc2/tank_level"],
        "nothing": [],
    }


def test_more_tags_than_asked_for_are_cut_and_said_to_be_cut(path):
    with serving(FakeGateway(), path) as served:
        assert ask(served, "GET", "/v1/tags?limit=4")[1]["truncated"] is False
        cut = ask(served, "GET", "/v1/tags?limit=3")[1]
    assert (len(cut["tags"]), cut["truncated"]) == (3, True)


def test_a_watch_over_too_many_tags_is_refused_rather_than_cut(path):
    gateway = FakeGateway()
    gateway.tags_now = tuple(tag(f"plc1/t{n}", "", 1.0) for n in range(1_001))
    with serving(gateway, path) as served:
        status, body = ask(served, "GET", "/v1/tags/watch")
    assert status == 400
    assert "narrower" in body["remedy"]


def test_decisions_come_newest_first_by_page_and_by_point(path):
    with serving(FakeGateway(), path) as served:

        def ids(query: str) -> list[int]:
            return [found["id"] for found in ask(served, "GET", f"/v1/decisions{query}")[1]["decisions"]]

        assert (ids(""), ids("?limit=1"), ids("?before=41"), ids("?point=inlet.valve")) == ([41, 40], [41], [40], [40])


@pytest.mark.parametrize(
    ("target", "status", "says"),
    [
        ("/v1/decisions/99", 404, "no decision 99"),
        ("/v1/decisions/99/explain", 404, "no decision 99"),
        ("/v1/decisions/-1", 400, "not a decision id"),
        ("/v1/decisions/" + "9" * 30, 400, "not a decision id"),
        ("/v1/decisions?limit=0", 400, "limit"),
        ("/v1/decisions?limit=1001", 400, "limit"),
        ("/v1/decisions?limit=ten", 400, "limit"),
        ("/v1/decisions?colour=red", 400, "colour"),
        ("/v1/decisions?limit", 400, "query"),
        ("/v1/tags?match=" + "a" * 201, 400, "match"),
        ("/v1/secrets", 404, "/v1/secrets"),
        ("/", 404, "there is no /"),
        ("/v1/overrides/a/b", 404, "there is no"),
    ],
)
def test_what_does_not_exist_or_cannot_be_read_is_refused_with_a_remedy(path, target, status, says):
    with serving(FakeGateway(), path) as served:
        found, body = ask(served, "GET", target)
    assert found == status
    assert says in body["error"]
    assert body["remedy"]
    assert body["code"] == 9


def test_a_wrong_method_names_the_right_ones(path):
    with serving(FakeGateway(), path) as served:
        client = served.client()
        client.request("PUT", "/v1/overrides", body=b"{}")
        answer = client.getresponse()
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
        client.close()


def test_an_override_is_set_in_the_name_of_the_peer(path):
    gateway = FakeGateway()
    with serving(gateway, path, groups=("operators",), as_uid=SOMEBODY) as served:
        status, body = ask(served, "POST", "/v1/overrides", ASK)
    role = "operator"
    assert status == 200
    assert body["override"]["by"] == {"uid": SOMEBODY, "role": role, "method": "socket", "name": "ana"}
    assert gateway.asked == [(OverrideRequest(**ASK), Actor(SOMEBODY, role, "socket", "ana"))]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 60_000,
        {**ASK, "force": True},
        {**ASK, "value": "40"},
        {**ASK, "value": None},
        {**ASK, "duration_s": 0},
        {**ASK, "duration_s": 259_201},
        {**ASK, "reason": ""},
        {**ASK, "reason": "x" * 501},
        {**ASK, "point": "p" * 131},
        {key: value for key, value in ASK.items() if key != "reason"},
        {key: value for key, value in ASK.items() if key != "duration_s"},
        json.dumps(ASK).replace("40.0", "1e999").encode(),
        json.dumps(ASK).replace("40.0", "NaN").encode(),
    ],
)
def test_an_override_that_is_not_exactly_right_never_reaches_the_gateway(path, body):
    gateway = FakeGateway()
    with serving(gateway, path) as served:
        status, answer = ask(served, "POST", "/v1/overrides", body)
    assert (status, answer["code"], gateway.asked) == (400, 9, [])


def test_a_refusal_of_the_gateway_reaches_the_client_with_its_remedy(path):
    with serving(FakeGateway(), path) as served:
        status, body = ask(served, "POST", "/v1/overrides", {**ASK, "value": 140})
    assert status == 409
    assert body == {
        "error": "pump_1.speed_sp: 140 is above write_max 100",
        "remedy": "Ask for at most 100.",
        "code": 9,
    }


def test_an_override_is_cleared_with_a_reason(path):
    gateway = FakeGateway()
    with serving(gateway, path) as served:
        assert ask(served, "DELETE", "/v1/overrides/inlet.valve")[0] == 400
        status, body = ask(served, "DELETE", "/v1/overrides/inlet.valve", {"reason": "flushed"})
        assert (status, body["message"]) == (200, "inlet.valve is handed back to policy")
        assert ask(served, "DELETE", "/v1/overrides/inlet.valve", {"reason": "again"})[0] == 409
    assert gateway.asked[0][0] == ClearRequest(reason="flushed")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreFull("the store is full", remedy="Make room."), 500, 4),
        (DeviceTimeout("plc1: no reply", remedy="Check the cable."), 503, 1),
    ],
)
def test_errors_keep_their_message_and_exit_code(path, error, status, code):
    gateway = FakeGateway()
    gateway.fails = error
    with serving(gateway, path) as served:
        assert ask(served, "GET", "/v1/status") == (
            status,
            {"error": error.message, "remedy": error.remedy, "code": code},
        )


EVERY_ROUTE = [
    (route.method, "/" + "/".join(route.path).replace("{id}", "41").replace("{point}", "inlet.valve"))
    for route in ROUTES
    if route.path[-1] != "watch"
]


BODIES = {"/v1/journal/redactions": {"name": "bob", "reason": "he asked"}}


def statuses(path, *groups: str) -> dict[tuple[str, str], int]:
    found = {}
    for method, target in EVERY_ROUTE:
        body = BODIES.get(target, {"POST": ASK, "DELETE": {"reason": "flushed"}}.get(method))
        with serving(FakeGateway(), path, groups=groups, as_uid=SOMEBODY) as served:
            found[method, target] = ask(served, method, target, body)[0]
    return found


def test_a_stranger_sees_the_status_and_nothing_else(path):
    expected = {route: 200 if route[1] == "/v1/status" else 403 for route in EVERY_ROUTE}
    assert statuses(path) == expected


def test_a_viewer_reads_everything_and_changes_nothing(path):
    assert statuses(path, "watchers") == {route: 200 if route[0] == "GET" else 403 for route in EVERY_ROUTE}


@pytest.mark.parametrize("group", ["operators", "engineers"])
def test_operators_and_engineers_may_do_everything_there_is(path, group):
    assert set(statuses(path, group).values()) == {200}
