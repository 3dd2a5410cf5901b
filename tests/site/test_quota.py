"""The limits of the store stand in their order, or the site is refused."""

from __future__ import annotations

import pytest

from gatewayd.model.config import Storage
from gatewayd.site.quota import quota_in

GATEWAY = "gateway.toml"
ANCHOR = "quota_mb = 256\n"


def test_the_usual_limits_warn_at_70_and_end_automatic_writes_at_95():
    usual = Storage()
    limits = usual.warn_clear_percent, usual.warn_percent, usual.resume_percent, usual.monitor_percent
    assert limits == (65, 70, 90, 95)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("warn_percent = 60", "warn_clear_percent"),
        ("warn_percent = 65", "warn_clear_percent"),
        ("warn_percent = 90\nresume_percent = 85", "warn_percent"),
        ("monitor_percent = 90", "resume_percent"),
    ],
)
def test_limits_out_of_order_are_refused_with_the_order_they_have(site, lines, key):
    site.replace(GATEWAY, ANCHOR, f"{ANCHOR}{lines}\n")
    error = site.only_error()
    assert error.message.startswith(f"storage.{key} is ")
    assert "warn_clear_percent < warn_percent < resume_percent < monitor_percent" in error.remedy


def test_a_warning_may_go_on_until_automatic_writes_come_back(site):
    site.replace(GATEWAY, ANCHOR, f"{ANCHOR}warn_percent = 85\nresume_percent = 85\n")
    assert site.errors() == []


@pytest.mark.parametrize("line", ["monitor_percent = 96", "warn_percent = 5", "resume_percent = 100"])
def test_limits_out_of_range_are_refused(site, line):
    site.replace(GATEWAY, ANCHOR, f"{ANCHOR}{line}\n")
    assert any("storage." in error.message for error in site.errors())


def test_blocks_cannot_have_more_than_the_store(site):
    site.replace(GATEWAY, "evidence_mb = 64", "evidence_mb = 300")
    assert site.only_error().message.startswith("storage.evidence_mb is 300; allowed is at most quota_mb = 256")


@pytest.mark.parametrize(
    ("quota", "found"), [("quota_mb = 512", 512), ("quota_mb = 15", 0), ('quota_mb = "x"', 0), ("quota_mb =", 0)]
)
def test_a_daemon_short_of_room_reads_the_quota_alone(site, quota, found):
    site.replace(GATEWAY, "quota_mb = 256", quota)
    assert quota_in(site.path) == found


def test_a_site_that_is_gone_gives_no_quota(tmp_path):
    assert quota_in(tmp_path) == 0
