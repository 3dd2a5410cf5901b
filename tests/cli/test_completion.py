"""Tab completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_names_the_command(shell, gatewayd):
    script = gatewayd("completion", shell).out
    assert "_GATEWAYD_COMPLETE" in script
    assert json.loads(gatewayd("completion", shell, "--json").out)["shell"] == shell


def test_the_script_completes_commands_without_a_daemon():
    environment = os.environ | {"_GATEWAYD_COMPLETE": "bash_complete", "COMP_WORDS": "gatewayd o", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "gatewayd"], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "plain,override\n"
