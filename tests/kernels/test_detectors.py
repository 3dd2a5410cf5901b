import inspect
from importlib import import_module

import pytest

from gatewayd.core import detectors as core_detectors
from gatewayd.core.detectors import CATALOGUE
from gatewayd.model.detectors import DETECTORS as SETTINGS
from gatewayd.model.detectors import DetectorSettings
from kernels.detectors import DETECTORS, TAIL_BUCKETS, Detector
from kernels.table import CHANNELS


def test_kernels_core_and_configuration_list_the_same_detectors_in_the_same_order():
    names = [detector.name for detector in DETECTORS]
    assert [detector.name for detector in CATALOGUE] == names
    assert list(SETTINGS) == names
    assert core_detectors.TAIL_BUCKETS == TAIL_BUCKETS
    assert core_detectors.CHANNEL_ROWS == CHANNELS


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_core_and_kernels_agree_on_what_a_detector_learns_and_may_be_told(detector: Detector):
    core = next(each for each in CATALOGUE if each.name == detector.name)
    assert core.learned == tuple(name for name, _ in detector.learned)
    assert [child.name for child in core.children] == [child.name for child in detector.children]
    told = {name for name, _ in detector.settings} - {f"{child.name}_first" for child in core.children}
    assert told == set(SETTINGS[detector.name].__struct_fields__) - set(DetectorSettings.__struct_fields__)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_every_detector_cites_where_its_recurrence_is_from(detector: Detector):
    kernel = getattr(import_module(f"kernels.{detector.name}"), detector.name)
    assert "Source:" in (inspect.getdoc(kernel) or "")
