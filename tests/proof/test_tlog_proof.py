"""Proof and policy files, word for word as C2SP has them."""

from __future__ import annotations

from gatewayd.proof.tlog_proof import tlog_policy, tlog_proof


def test_a_proof_is_index_path_and_checkpoint():
    note = "example.org/log\n3\nAAAA\n\n\N{EM DASH} example.org/log BBBB\n"
    assert tlog_proof(2, [bytes(32), bytes([255] * 32)], note) == (
        "c2sp.org/tlog-proof@v1\n"
        "index 2\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        "//////////////////////////////////////////8=\n"
        "\n" + note
    )


def test_the_only_record_of_a_log_has_an_empty_path():
    assert tlog_proof(0, [], "note") == "c2sp.org/tlog-proof@v1\nindex 0\n\nnote"


def test_a_policy_names_the_log_and_asks_for_no_witness():
    assert tlog_policy([(0, "example.org/log+12345678+AAAA")]) == "log example.org/log+12345678+AAAA\nquorum none\n"


def test_a_policy_says_for_which_sizes_each_key_of_a_log_counts():
    assert tlog_policy([(0, "a+1+A"), (300, "a+2+B"), (411, "a+3+C")]) == (
        "# counts for checkpoints of 0 to 299 records\nlog a+1+A\n"
        "# counts for checkpoints of 300 to 410 records\nlog a+2+B\n"
        "# counts for checkpoints of 411 records and more\nlog a+3+C\nquorum none\n"
    )
