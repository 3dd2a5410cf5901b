"""The OPC UA link against node-opcua, a server this project did not write."""

from __future__ import annotations

import math
import select
import subprocess
from pathlib import Path

import pytest

from gatewayd.clock import SystemClock
from gatewayd.device.opcua.browse import Browser
from gatewayd.device.opcua.endpoints import ask_for_endpoints
from gatewayd.device.opcua.survey import survey_server
from gatewayd.device.opcua.trust import load_pin
from gatewayd.errors import DeviceNotTrusted, DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import Codec
from tests.device.opcua.certificates import Certificate
from tests.device.opcua.rig import (
    URI,
    data_values,
    device,
    element,
    element_statuses,
    link_to,
    numbers,
    scan,
    statuses,
    tag,
    values,
)
from tests.device.opcua.server import SCALARS
from tests.foreign.availability import require
from tests.foreign.node_opcua.build import build_server

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(400)]  # npm ci may run first

NODES_PER_READ = 300
READY_S = 60


class NodeOpcua:
    """The server in its own process."""

    def __init__(self, folder: Path) -> None:
        server = require(build_server)
        self.process = subprocess.Popen(
            [server.node, str(server.script), str(folder), str(NODES_PER_READ)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        port, self.certificate = self._ready()
        self.endpoint = f"opc.tcp://127.0.0.1:{port}"
        self.users = folder / "users" / "trusted" / "certs"

    def _ready(self) -> tuple[int, str]:
        assert self.process.stdout is not None
        for _ in range(100):
            readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
            line = self.process.stdout.readline() if readable else ""
            if line.startswith("ready "):
                return int(line.split()[1]), line.split()[2]
            if not line:
                break
        self.stop()
        raise AssertionError("node-opcua did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = NodeOpcua(tmp_path_factory.mktemp("node_opcua"))
    yield running
    running.stop()


@pytest.fixture
async def linked(server, tmp_path):
    links = []

    async def connect(*tags, **settings):
        links.append(link_to(device(server.endpoint, **settings), tags, tmp_path))
        await links[-1].connect()
        return links[-1]

    yield connect
    for link in links:
        await link.close()


async def test_every_scalar_type_is_read_with_source_times_only(linked):
    link = await linked(*(tag(name, name) for name in SCALARS))
    (block,) = await scan(link)
    assert block.codec is Codec.OPCUA_READ
    read = data_values(block.payload, len(SCALARS))
    assert [each.Value.Value for each in read] == [value for value, _ in SCALARS.values()]
    assert {each.SourceTimestamp.isoformat() for each in read} == {"2026-01-02T03:04:05.678000+00:00"}
    assert {each.ServerTimestamp for each in read} == {None}


async def test_picoseconds_of_some_values_move_no_other_value(linked):
    link = await linked(tag("d1"), tag("pico"), tag("d2"))
    for _ in range(2):
        (block,) = await scan(link)
        assert values(block.payload, 3) == [1.0, 3.5, 2.0]
    assert data_values(block.payload, 3)[1].SourcePicoseconds == 123  # in units of 10 ps


async def test_unknown_sick_and_foreign_values_turn_bad_and_the_rest_is_read(linked):
    link = await linked(tag("d1"), tag("no.such.node"), tag("text"), tag("array"), tag("label"), tag("sick"), tag("d2"))
    (block,) = await scan(link)
    assert statuses(block.payload, 7) == [
        0, quality.BAD_NODE_ID_UNKNOWN, *[quality.BAD_TYPE_MISMATCH] * 3, quality.BAD_SENSOR_FAILURE, 0,
    ]  # fmt: skip
    assert values(block.payload, 7)[::6] == [1.0, 2.0]


async def test_the_operation_limit_is_kept_over_a_thousand_nodes(linked):
    """node-opcua answers one node too many with Bad_TooManyOperations."""
    link = await linked(*(tag(f"d{number}") for number in range(1000)))
    (block,) = await scan(link)
    assert values(block.payload, 1000) == [float(number) for number in range(1000)]
    assert [part.request.count for part in link._parts[0]] == [300, 300, 300, 100]


async def test_each_type_is_written_and_read_back(linked):
    new = {"bool": 0.0, "int16": -7.0, "uint16": 7.0, "int32": -70_000.0, "uint32": 70_000.0, "int64": -(2.0**40),
           "uint64": 2.0**40, "float32": 0.25, "float64": 0.1}  # fmt: skip
    link = await linked(*(tag(f"{name}.set", name, access="rw") for name in new))
    for row, value in enumerate(new.values()):
        await link.write(row, value)
        reading = await link.read_back(row)
        assert (reading.value, reading.status) == (value, quality.GOOD)


async def test_a_refused_write_is_quoted_by_the_standards_name(linked):
    link = await linked(
        tag("float64", access="rw"), tag("int16.set", "float64", access="rw"), tag("none", access="rw"), tag("text")
    )
    for row, name in enumerate(("BadNotWritable", "BadTypeMismatch", "BadNodeIdUnknown")):
        with pytest.raises(DeviceRefused, match=name):
            await link.write(row, 1.0)
    reading = await link.read_back(3)
    assert (math.isnan(reading.value), reading.status) == (True, quality.BAD_TYPE_MISMATCH)


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"])
async def test_a_secured_session_reads_and_writes_under_each_policy_and_mode(linked, server, policy, mode):
    secured = {"security": policy, "mode": mode, "insecure": None, "server_certificate": server.certificate}
    tags = (*(tag(f"d{number}") for number in range(1000)), tag("float64.set", access="rw"))
    link = await linked(*tags, max_nodes_per_read=1000, **secured)
    await link.write(1000, 9.5)
    blocks = await scan(link)
    assert values(blocks[0].payload, 1000) == [float(number) for number in range(1000)]
    assert values(blocks[1].payload, 1) == [9.5]
    assert (await link.read_back(1000)).value == 9.5


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"])
async def test_a_user_is_let_in_by_name_or_certificate_and_a_wrong_one_is_not(linked, server, tmp_path, policy):
    secured = {"security": policy, "mode": "SignAndEncrypt", "insecure": None, "server_certificate": server.certificate}
    password = tmp_path / "password"
    password.write_text("right horse\n")
    named = {**secured, "user": "operator", "password_file": "password"}
    assert values((await scan(await linked(tag("d1"), **named)))[0].payload, 1) == [1.0]
    password.write_text("wrong horse\n")
    with pytest.raises(DeviceNotTrusted, match=r"User|Identity"):
        await linked(tag("d1"), **named)

    holder, stranger = Certificate(tmp_path, f"holder-{policy}"), Certificate(tmp_path, "stranger")
    (server.users / f"{policy}.pem").write_bytes(holder.pem_path.read_bytes())
    by_key = {**secured, "user_certificate": str(holder.der_path), "user_private_key": str(holder.key_path)}
    assert values((await scan(await linked(tag("d1"), **by_key)))[0].payload, 1) == [1.0]
    by_key |= {"user_certificate": str(stranger.der_path), "user_private_key": str(stranger.key_path)}
    with pytest.raises(DeviceNotTrusted, match=r"User|Identity"):
        await linked(tag("d1"), **by_key)


async def test_another_pin_is_not_trusted(linked, server, other_certificate):
    secured = {"security": "Aes256_Sha256_RsaPss", "mode": "SignAndEncrypt", "insecure": None}
    with pytest.raises(DeviceNotTrusted, match="the server shows certificate"):
        await linked(tag("d1"), server_certificate=str(other_certificate.der_path), **secured)


async def test_the_address_space_is_browsed_by_continuation_points_on_an_encrypted_session(linked, server):
    secured = {"security": "Basic256Sha256", "mode": "SignAndEncrypt", "insecure": None}
    link = await linked(tag("d1"), server_certificate=server.certificate, **secured)
    browser = Browser(link.session, depth_max=5, nodes_max=5000, progress=lambda _: None)
    await browser.run()
    found = {node.node_id: node for node in browser.nodes}
    assert browser.skipped == 0
    for name, (_, kind) in SCALARS.items():
        assert (found[f"nsu={URI};s={name}"].type, found[f"nsu={URI};s={name}"].access) == (kind.name, "r")
        assert found[f"nsu={URI};s={name}.set"].access == "rw"
    assert {f"nsu={URI};s=d{number}" for number in range(1000)} <= set(found)
    assert found[f"nsu={URI};s=sick"].status == "BadSensorFailure"


async def test_the_server_tells_who_it_is_and_what_it_takes(linked):
    link = await linked(tag("d1"))
    told = await survey_server(link.session, SystemClock(), lambda _: None)
    assert told.limits["max_nodes_per_read"] == NODES_PER_READ
    assert "NodeOPCUA" in " ".join(told.identity.values())
    assert told.clock_offset_ms is not None
    assert abs(told.clock_offset_ms) < 1000, "the same machine"


async def test_its_endpoints_are_listed(server):
    offer = await ask_for_endpoints(server.endpoint, 5000)
    assert {("Basic256Sha256", "SignAndEncrypt"), ("Aes256_Sha256_RsaPss", "SignAndEncrypt")} <= {
        (each.policy, each.mode) for each in offer.endpoints
    }
    assert [certificate.der for certificate in offer.certificates] == [
        load_pin("node-opcua", Path(server.certificate)).der
    ]


async def test_elements_of_arrays_come_by_index_range_once_the_server_has_shown_that_it_heeds_them(linked):
    parts = {"array": ("0", "2"), "matrix.set": ("0,1", "1,2")}
    tags = [element(name, path) for name, paths in parts.items() for path in paths]
    link = await linked(tag("d1"), *tags)
    for codec in (Codec.COLUMNS, Codec.OPCUA_READ, Codec.OPCUA_READ):
        plain, elements = await scan(link)
        assert values(plain.payload, 1) == [1.0]
        assert elements.codec is codec
        assert numbers(elements, 4) == [1.0, 3.0, 12.0, 23.0]


async def test_an_index_beyond_the_array_is_bad_and_the_others_are_read(linked):
    link = await linked(element("array", "1"), element("array", "9"), element("d1", "0"), element("no.such", "0"))
    for _ in range(3):
        (block,) = await scan(link)
        assert numbers(block, 4)[0] == 2.0
        assert element_statuses(block, 4)[1:] == [
            quality.BAD_INDEX_RANGE_NO_DATA, quality.BAD_INDEX_RANGE_NO_DATA, quality.BAD_NODE_ID_UNKNOWN,
        ]  # fmt: skip


async def test_fields_of_structures_are_read_by_their_names(linked):
    fields = [element("range", ".High"), element("ranges", "[1].Low"), element("range", ".Middle")]
    status = {"node_id": "i=2256"}  # ServerStatus: an enumeration, a nested BuildInfo full of texts, then a number
    link = await linked(
        tag("d1"),
        *fields,
        tag("state", element=".State", **status),
        tag("till", element="SecondsTillShutdown", **status),
    )
    for _ in range(2):
        plain, structures = await scan(link)
        assert (plain.codec, structures.codec) == (Codec.OPCUA_READ, Codec.COLUMNS)
        high, low, _, state, till = numbers(structures, 5)
        assert (high, low, state, till) == (95.5, 3.0, 0.0, 0.0)
        assert element_statuses(structures, 5)[2] == quality.BAD_NO_MATCH
    assert (await link.read_back(1)).value == 95.5


async def test_one_element_is_written_and_its_neighbours_stay(linked):
    link = await linked(*(element("array.set", str(index), access="rw") for index in range(3)))
    await link.write(1, 22.5)
    assert [(await link.read_back(row)).value for row in range(3)] == [1.0, 22.5, 3.0]
    await link.write(1, 2.0)


async def test_one_element_of_a_matrix_is_written_and_its_neighbours_stay(linked):
    paths = [f"{row},{column}" for row in range(2) for column in range(3)]
    link = await linked(*(element("matrix.set", path, "int32", access="rw") for path in paths))
    await link.write(4, 99.0)
    assert [(await link.read_back(row)).value for row in range(6)] == [11.0, 12.0, 13.0, 21.0, 99.0, 23.0]
    await link.write(4, 22.0)
