"""The bytes of every kind of record, for ever: what was journalled years ago must still be read.

`python -m tests.journal.test_golden --write` writes files that are missing; it never changes one that is there. When a kind
gets a field, its file moves to `older/` under the name KIND-NUMBER.bin, and is read for ever.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from gatewayd.journal.leaf import Stamp, decode_leaf, encode_leaf
from gatewayd.model.record import SCHEMA, ClockQuality, Kind, Leaf, kind_of
from tests.journal.samples import every_body

FOLDER = Path(__file__).parent.parent / "golden" / "journal"
STAMP = Stamp(1_750_000_000_123_456_789, 9_876_543_210, bytes(range(16)), ClockQuality.GNSS)


def leaf_of(name: str) -> bytes:
    return encode_leaf(4711, STAMP, msgspec.msgpack.encode(every_body()[name]))


def test_there_is_a_sample_and_a_file_for_every_kind():
    names = {kind.name.lower() for kind in Kind}
    assert set(every_body()) == names
    assert {path.stem for path in FOLDER.glob("*.bin")} == names


@pytest.mark.parametrize("name", every_body())
def test_todays_encoder_gives_the_bytes_of_the_golden_file(name):
    assert leaf_of(name) == (FOLDER / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", every_body())
def test_todays_decoder_reads_the_golden_file(name):
    leaf = decode_leaf((FOLDER / f"{name}.bin").read_bytes())
    assert kind_of(leaf.body).name.lower() == name
    assert repr(leaf.body) == repr(every_body()[name])  # by repr, because NaN is not equal to itself
    assert (leaf.seq, leaf.wall_ns, leaf.boot_ns, leaf.boot_id) == (4711, STAMP.wall_ns, STAMP.boot_ns, STAMP.boot_id)
    assert leaf.clock_quality == ClockQuality.GNSS


@pytest.mark.parametrize("path", sorted((FOLDER / "older").glob("*.bin")), ids=lambda path: path.stem)
def test_a_record_without_the_fields_that_its_kind_got_later_is_read(path):
    name, _, _ = path.stem.partition("-")
    body, today = decode_leaf(path.read_bytes()).body, every_body()[name]
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(body))
    assert len(msgspec.msgpack.decode(path.read_bytes()[2:])[5]) < len(written)
    assert type(body) is type(today)


def test_a_leaf_is_two_bytes_and_the_msgpack_of_its_struct():
    body = every_body()["gap"]
    leaf = Leaf(4711, STAMP.wall_ns, STAMP.boot_ns, STAMP.boot_id, STAMP.clock_quality, body)
    assert leaf_of("gap") == bytes((SCHEMA, 0)) + msgspec.msgpack.encode(leaf)


if __name__ == "__main__" and "--write" in sys.argv:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for missing in [name for name in every_body() if not (FOLDER / f"{name}.bin").exists()]:
        (FOLDER / f"{missing}.bin").write_bytes(leaf_of(missing))
        print("wrote", missing)
