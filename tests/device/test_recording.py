"""The file of a recording: what is written is read, and nothing strange gets through."""

from __future__ import annotations

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device import recording
from gatewayd.device.recording import (
    FRAME_BYTES_MAX,
    MAGIC,
    Exchange,
    Header,
    Recording,
    RecordingWriter,
    parse_recording,
    read_recording,
)
from gatewayd.errors import ConfigError

HEADER = Header("plc", "modbus", 1_750_000_000_000_000_000, "gatewayd 0")
exchanges = st.builds(
    Exchange,
    asked_ns=st.integers(0, 2**62),
    took_ns=st.integers(0, 2**62),
    unit_id=st.integers(0, 255),
    request=st.binary(min_size=1, max_size=253),
    response=st.binary(max_size=253),
)


def written(*what: Exchange) -> bytes:
    file = io.BytesIO()
    writer = RecordingWriter(file, HEADER)
    for exchange in what:
        writer.add(exchange)
    assert writer.size == len(file.getvalue())
    assert writer.exchanges == len(what)
    return file.getvalue()


@given(st.lists(exchanges, max_size=20))
def test_what_is_written_is_read(what):
    assert parse_recording(written(*what), "x.rec") == Recording(HEADER, tuple(what), False)


ONE = Exchange(5, 7, 1, b"\x03\0\0\0\x01", b"\x03\x02\0\x07")


@given(st.integers(0, 200))
def test_a_file_that_ends_anywhere_gives_what_is_whole(cut):
    content = written(ONE, ONE, ONE)
    whole = len(written())
    try:
        found = parse_recording(content[:cut], "x.rec")
    except ConfigError:
        assert cut < whole
    else:
        size = len(written(ONE)) - whole
        held = min(cut, len(content))
        assert found.exchanges == (ONE,) * ((held - whole) // size)
        assert found.is_cut_short == ((held - whole) % size != 0)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: MAGIC + rest) | st.tuples(
    st.integers(0, 60), st.integers(0, 255)).map(lambda change: flipped(*change)))  # fmt: skip
def test_no_bytes_are_too_strange_to_be_refused_in_words(content):
    """A recording, or one of our errors; never anything else, and no more memory than the file."""
    try:
        parse_recording(content, "x.rec")
    except ConfigError as error:
        assert error.remedy  # noqa: PT017


def flipped(at: int, to: int) -> bytes:
    content = bytearray(written(ONE))
    content[at % len(content)] = to
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no recording"),
        (b"PK\x03\x04 and more bytes", "is no recording"),
        (MAGIC[:-1] + b"\x02", "another format version"),
        (MAGIC, "ends before its header"),
        (MAGIC + b"\xff\xff\xff\xff", "a frame of 4294967295 bytes"),
        (MAGIC + b"\0\0\0\0", "a frame of 0 bytes"),
    ],
)
def test_other_files_are_told_apart(content, says):
    with pytest.raises(ConfigError, match=says):
        parse_recording(content, "x.rec")


def test_a_frame_with_more_than_a_pdu_is_damaged():
    body = msgspec.msgpack.encode([0, 0, 1, b"x" * 254, b""])
    assert len(body) <= FRAME_BYTES_MAX
    with pytest.raises(ConfigError, match="is damaged"):
        parse_recording(written() + len(body).to_bytes(4, "big") + body, "x.rec")


def test_a_full_file_takes_no_more_and_says_so(monkeypatch):
    monkeypatch.setattr(recording, "EXCHANGES_MAX", 2)
    file = io.BytesIO()
    writer = RecordingWriter(file, HEADER)
    for _ in range(3):
        writer.add(ONE)
    assert (writer.exchanges, writer.is_full) == (2, True)
    assert len(parse_recording(file.getvalue(), "x.rec").exchanges) == 2
    monkeypatch.setattr(recording, "EXCHANGES_MAX", 0)
    with pytest.raises(ConfigError, match="more than 0 exchanges"):
        parse_recording(file.getvalue(), "x.rec")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recording(tmp_path / "none.rec")


def test_a_file_too_large_is_not_decoded(tmp_path, monkeypatch):
    file = tmp_path / "x.rec"
    file.write_bytes(written(ONE))
    monkeypatch.setattr(recording, "FILE_BYTES_MAX", 10)
    with pytest.raises(ConfigError, match="larger than 10 bytes"):
        read_recording(file)
