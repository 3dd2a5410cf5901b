"""The systemd unit, judged by systemd itself, and the container recipe, read line by line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "gatewayd.service"
EXPOSURE_MAX = 1.5

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: apt-get install systemd"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists here, since verify looks for it."""
    copy = tmp_path / "gatewayd.service"
    copy.write_text(UNIT.read_text().replace("/opt/gatewayd/bin/gatewayd", sys.executable))
    return copy


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@needs_systemd_analyze
def test_systemd_finds_nothing_wrong_with_the_unit(unit):
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd_analyze
def test_systemd_would_notice_a_misspelt_setting(unit):
    unit.write_text(unit.read_text().replace("NoNewPrivileges=", "NoNewPriviledges="))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "NoNewPriviledges" in done.stderr


@needs_systemd_analyze
def test_the_host_is_exposed_no_more_than_agreed(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score is not None, done.stderr
    assert float(score[1]) <= EXPOSURE_MAX


def test_peers_keep_their_uids_and_records_their_boot_id():
    """PrivateUsers would turn every peer into nobody; ProcSubset=pid would hide the boot id."""
    assert not {"PrivateUsers", "ProcSubset"} & settings().keys()


def test_the_watchdog_the_state_and_the_credential_are_asked_for():
    found = settings()
    expected = {
        "Type": ["notify"],
        "WatchdogSec": ["30"],
        "StateDirectory": ["gatewayd"],
        "RuntimeDirectory": ["gatewayd"],
        "MemoryDenyWriteExecute": ["yes"],
        "LoadCredential": ["journal-key:gatewayd.journal-key"],
    }
    assert {key: found.get(key) for key in expected} == expected


def test_the_container_runs_as_nobody_special_from_the_lock_with_hashes():
    recipe = (ROOT / "Dockerfile.arm64").read_text()
    final = recipe.rpartition("\nFROM ")[2]
    assert "\nUSER gatewayd\n" in final
    assert "pip" not in final
    assert all("--require-hashes" in line for line in recipe.splitlines() if "--requirement" in line)


def test_every_file_the_container_copies_is_there():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile.arm64").read_text(), re.MULTILINE)
    names = [name for names in copied for name in names.split()]
    assert [name for name in names if name != "README.md" and not (ROOT / name).exists()] == []


def test_the_gateway_gets_the_locks_own_lines_without_compiler_or_test_tools():
    done = subprocess.run(
        [sys.executable, str(ROOT / "requirements" / "runtime.py")], capture_output=True, text=True, check=True
    )
    names = set(re.findall(r"^([a-z0-9-]+)==", done.stdout, re.MULTILINE))
    assert {"asyncua", "click", "cryptography", "gmqtt", "h11", "lmdb", "msgspec", "uvloop", "zstandard"} <= names
    assert not names & {"numba", "llvmlite", "numpy", "pytest", "mypy", "hypothesis", "iotcore", "deltalake"}
    lock = (ROOT / "requirements" / "dev.lock").read_text()
    assert all(line in lock for line in done.stdout.splitlines())
    assert done.stdout.count("--hash=sha256:") > len(names)
