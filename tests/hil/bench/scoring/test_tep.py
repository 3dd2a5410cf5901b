import numpy as np

from hil.bench.scoring.tep import FAULT_AT, delay, detected, faults, load


def test_only_rows_with_the_fault_count():
    scores = np.zeros(FAULT_AT + 10)
    scores[:FAULT_AT] = 9.0
    scores[FAULT_AT + 5 :] = 2.0
    assert detected(scores, 1.0) == 50.0


def test_the_delay_is_to_three_alarms_in_a_row():
    scores = np.zeros(FAULT_AT + 10)
    scores[[FAULT_AT + 1, FAULT_AT + 4, FAULT_AT + 5, FAULT_AT + 6]] = 2.0
    assert delay(scores, 1.0) == 4
    assert delay(np.zeros(FAULT_AT + 10), 1.0) == -1


def test_a_file_stored_on_its_side_is_turned(tmp_path):
    np.savetxt(tmp_path / "d00.dat", np.zeros((52, 500)))
    np.savetxt(tmp_path / "d01_te.dat", np.zeros((960, 52)))
    files = load(tmp_path)
    assert {name: rows.shape for name, rows in files.items()} == {"d00": (500, 52), "d01_te": (960, 52)}
    assert faults([*files, "d00_te"]) == ["d01_te"]
