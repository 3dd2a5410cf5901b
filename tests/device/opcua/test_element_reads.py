"""Elements against asyncua's server, which ignores index ranges and has structures of its own namespace."""

from __future__ import annotations

import math

import pytest

from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import Codec
from tests.device.opcua.rig import device, element, element_statuses, link_to, numbers, scan, tag, values


async def test_a_server_that_ignores_index_ranges_is_read_whole_in_every_scan(linked):
    tags = [element("array", "1"), element("matrix", "1,2", "int32"), element("one", "0"), element("array", "2")]
    link = await linked(tag("d1"), *tags)
    for _ in range(4):
        plain, elements = await scan(link)
        assert values(plain.payload, 1) == [1.0]
        assert (elements.codec, numbers(elements, 4)) == (Codec.COLUMNS, [2.0, 23.0, 7.0, 3.0])


async def test_an_element_that_is_not_there_never_takes_the_value_of_another(linked):
    """The server answers every index of an array of one with that one."""
    link = await linked(element("one", "1"), element("array", "3"), element("array", "0"))
    for _ in range(3):
        (block,) = await scan(link)
        assert element_statuses(block, 3) == [quality.BAD_INDEX_RANGE_NO_DATA] * 2 + [0]


async def test_an_array_of_one_is_no_number_to_a_tag_without_an_element(linked):
    link = await linked(tag("one"), tag("d1"))
    (block,) = await scan(link)
    assert element_statuses(block, 2) == [quality.BAD_TYPE_MISMATCH, 0]
    assert math.isnan((await link.read_back(0)).value)


async def test_fields_of_a_plcs_own_structures_are_read_through_all_that_stands_before_them(linked):
    wanted = {
        ".Gear": 2.0, "Motor[0].Speed": 10.0, "Motor[1].Speed": 20.0, "Motor[2].Currents[1]": 1.5, "Spare.Speed": 40.0,
        ".Hours": 2.0**40,
    }  # fmt: skip
    link = await linked(tag("d1"), *(element("drive", path) for path in wanted), element("motors", "[1].Speed"))
    for _ in range(2):
        plain, structures = await scan(link)
        assert numbers(plain, 1) == [1.0]
        assert numbers(structures, 7) == [*wanted.values(), 2.0]
    assert (await link.read_back(2)).value == 10.0


async def test_what_a_structure_does_not_have_is_bad_and_says_why(linked):
    link = await linked(
        element("drive", ".Serial"), element("drive", ".Torque"), element("drive", "Motor[5].Speed"),
        element("drive", "Motor.Speed"), element("drive", "Motor[0].Name"), element("drive", "Spare.Speed"),
    )  # fmt: skip
    (block,) = await scan(link)
    assert [quality.name(code) for code in element_statuses(block, 6)] == [
        "0x809B0000", "Bad_NoMatch", "Bad_IndexRangeNoData", "Bad_TypeMismatch", "Bad_TypeMismatch", "Good",
    ]  # fmt: skip


async def test_a_structure_that_the_server_does_not_explain_is_bad_and_harms_no_other(linked):
    link = await linked(tag("d1"), element("mystery", ".Speed"), element("drive", "Spare.Speed"))
    plain, structures = await scan(link)
    assert numbers(plain, 1) == [1.0]
    assert element_statuses(structures, 2) == [quality.BAD_TYPE_MISMATCH, 0]


async def test_a_structure_of_the_standard_needs_no_explanation(linked):
    link = await linked(element("structure", ".UnitId"))
    (block,) = await scan(link)
    assert numbers(block, 1) == [4.0]


async def test_types_are_asked_for_once_a_session(linked, monkeypatch):
    link = await linked(element("drive", "Motor[1].Speed"))
    await scan(link)

    async def asked(*_):
        raise AssertionError("the definition was asked for again")

    monkeypatch.setattr(link._session, "ask", asked)
    await scan(link)


async def test_an_element_is_never_written_where_the_whole_array_would_be_replaced(linked):
    link = await linked(*(element("array.set", str(index), access="rw") for index in range(3)))
    with pytest.raises(DeviceRefused, match="does not heed index ranges") as refused:
        await link.write(1, 22.5)
    assert refused.value.status == quality.BAD_WRITE_NOT_SUPPORTED
    assert "node of its own" in refused.value.remedy
    assert [(await link.read_back(row)).value for row in range(3)] == [1.0, 2.0, 3.0]


async def test_an_element_that_is_not_there_is_not_written(linked):
    link = await linked(element("array.set", "9", access="rw"))
    with pytest.raises(DeviceRefused, match="cannot be read: Bad_IndexRangeNoData"):
        await link.write(0, 1.0)


async def test_a_field_of_a_structure_is_not_written(linked):
    link = await linked(element("drive", ".Hours", access="rw"))
    with pytest.raises(DeviceRefused, match="field of a structure"):
        await link.write(0, 1.0)


async def test_the_servers_limit_on_nodes_holds_for_elements_too(start, tmp_path):
    server = start("--nodes-per-read", "2", "--silent-limit")
    tags = [element(name, "0") for name in ("array", "one", "array.set", "words")] + [element("array", "2")]
    link = link_to(device(server.endpoint), tags, tmp_path)
    await link.connect()
    blocks = [(await scan(link))[0] for _ in range(2)]
    assert blocks[0].codec is Codec.LOST
    assert numbers(blocks[1], 5)[:3] == [1.0, 7.0, 1.0]
    assert numbers(blocks[1], 5)[4] == 3.0
    await link.close()
