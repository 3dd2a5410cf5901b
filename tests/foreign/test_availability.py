from __future__ import annotations

import pytest

from tests.foreign.availability import REQUIRED_BY, ForeignServerMissing, require


def missing() -> str:
    raise ForeignServerMissing("no such server; install it")


def test_what_is_there_is_handed_over() -> None:
    assert require(lambda: "server") == "server"


def test_a_missing_server_skips_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRED_BY, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such server; install it"):
        require(missing)


def test_a_missing_server_fails_where_the_skip_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED_BY, "1")
    with pytest.raises(pytest.fail.Exception, match="no such server; install it"):
        require(missing)
