"""P-REPLAY: another processor, the one of the gateways, gives the same bits."""

import json

from kernels.abi import sources_digest
from kernels.table import KERNELS
from tests.foreign.aarch64.build import TRIPLE, build_emulated
from tests.foreign.availability import require
from tests.kernels.harness import FORMS, run


def test_kernels_of_aarch64_are_one_of_the_forms_that_every_test_compares() -> None:
    described = json.loads(require(build_emulated).library.with_suffix(".json").read_text())
    assert "aarch64" in FORMS
    assert (described["triple"], described["sources"]) == (TRIPLE, sources_digest().hex())
    assert described["kernels"] == [f"gw_{kernel.name}" for kernel in KERNELS]


def test_they_really_run_there() -> None:
    """0.1 * 10 - 1 is 0 in two roundings, as it must be; and an error comes back as itself."""
    require(build_emulated)
    columns = {"fresh.row": [0], "tag.value": [0.1], "tag.status": [0], "tag.scale": [10.0], "tag.offset": [-1.0]}
    result, after = run("scale", "aarch64", columns, fresh_count=1)
    assert (result, after["tag.value"]) == (1, bytes(8))
    assert run("scale", "aarch64", columns, fresh_count=2)[0] == -1
