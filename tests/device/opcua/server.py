"""An OPC UA server in its own process, for the tests of the link. Says its port, then serves until it is killed."""

from __future__ import annotations

import argparse
import asyncio
import logging
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from asyncua import Server, ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AttributeService

URI = "urn:gatewayd:test"
TOKENS = [ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken]
POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
SOURCE_TIME = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
SCALARS = {
    "bool": (True, ua.VariantType.Boolean),
    "int16": (-12_345, ua.VariantType.Int16),
    "uint16": (54_321, ua.VariantType.UInt16),
    "int32": (-1_234_567_890, ua.VariantType.Int32),
    "uint32": (4_000_000_000, ua.VariantType.UInt32),
    "int64": (-(2**62) - 1, ua.VariantType.Int64),
    "uint64": (2**63 + 1, ua.VariantType.UInt64),
    "float32": (1.5, ua.VariantType.Float),
    "float64": (-2.718281828459045, ua.VariantType.Double),
}
DOUBLES = 1000


class Users:
    """Lets everybody in anonymously; or only `operator` with the right password; or only who has a certificate."""

    def __init__(self, password: str | None, certificate: Path | None) -> None:
        self._password = password
        self._certificate = None if certificate is None else certificate.read_bytes()

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if self._certificate is not None:
            return User(role=UserRole.User, name="holder") if certificate == self._certificate else None
        if self._password is None:
            return User(role=UserRole.User)
        if username == "operator" and password == self._password:
            return User(role=UserRole.User, name=username)
        return None


class LimitedReads:
    """Counts the nodes of each Read and refuses larger ones, whether or not the limit was told."""

    def __init__(self) -> None:
        self.highest = 0
        self.largest = 0
        self._read = AttributeService.read

    def install(self) -> None:
        outer = self

        def read(self, params):
            count = len(params.NodesToRead)
            if outer.highest and count > outer.highest:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
            outer.largest = max(outer.largest, count)
            return outer._read(self, params)

        AttributeService.read = read


LIMITS = LimitedReads()


def serve(arguments: list[str], pipe: Connection) -> None:
    """Run it; see `ServerProcess`."""
    from tests.device.opcua.prepared import FILLED  # which imports this module

    asyncio.run(main(FILLED, options_of(arguments), pipe))


async def filled() -> Server:
    """A server with all nodes, of which no client can know yet."""
    server = Server()
    await server.init()
    await add_nodes(server, await server.register_namespace(URI))
    return server


async def main(server: Server, options: argparse.Namespace, pipe: Connection) -> None:
    logging.basicConfig(level=logging.ERROR)
    LIMITS.highest = options.nodes_per_read
    LIMITS.install()
    server.iserver.set_user_manager(Users(options.password, options.user_certificate))
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options.port}/test")
    await secure(server, options)
    if options.nodes_per_read and not options.silent_limit:
        limit = server.get_node(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead)
        await limit.write_value(ua.Variant(options.nodes_per_read, ua.VariantType.UInt32))
    async with server:
        pipe.send(server.bserver._server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()


async def secure(server: Server, options: argparse.Namespace) -> None:
    policies = [ua.SecurityPolicyType.NoSecurity]
    if options.certificate:
        await server.load_certificate(options.certificate)
        await server.load_private_key(options.key)
        offered = POLICIES if options.policy is None else (options.policy,)
        policies += [ua.SecurityPolicyType[f"{name}_{mode}"] for name in offered for mode in ("SignAndEncrypt", "Sign")]
    if options.distrust:

        async def nobody(certificate, description):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

        server.set_certificate_validator(nobody)
    server.set_security_policy(policies)
    server.set_identity_tokens(TOKENS)


async def add_nodes(server: Server, index: int) -> None:
    plant = await server.nodes.objects.add_object(ua.NodeId("plant", index), "plant")

    async def add(name: str, value: object, kind: ua.VariantType | None = None, *, writable: bool = False):
        variant = ua.Variant(value, kind) if kind is not None else ua.Variant(value)
        node = await plant.add_variable(ua.NodeId(name, index), name, variant, varianttype=kind)
        if writable:
            await node.set_writable()
        return node

    for name, (value, kind) in SCALARS.items():
        node = await add(name, value, kind)
        await node.write_value(ua.DataValue(ua.Variant(value, kind), SourceTimestamp=SOURCE_TIME))
        await add(f"{name}.set", value, kind, writable=True)
    for number in range(DOUBLES):
        await add(f"d{number}", float(number), ua.VariantType.Double)
    await add("text", "a string that is no number", ua.VariantType.String)
    await add("array", [1.0, 2.0, 3.0], ua.VariantType.Double)
    await add("words", ["a", None, "ccc"], ua.VariantType.String)
    await add("structure", ua.EUInformation(NamespaceUri="x", UnitId=4), ua.VariantType.ExtensionObject)
    await add("one", [7.0], ua.VariantType.Double)
    await add("matrix", [[11, 12, 13], [21, 22, 23]], ua.VariantType.Int32)
    await add("array.set", [1.0, 2.0, 3.0], ua.VariantType.Double, writable=True)
    await add_structures(server, index, add)
    mystery = ua.ExtensionObject(ua.NodeId("mystery", index), b"\x01\x02\x03\x04")
    structure = ua.NodeId(ua.ObjectIds.Structure)
    await plant.add_variable(ua.NodeId("mystery", index), "mystery", ua.Variant(mystery), datatype=structure)
    await add("label", ua.LocalizedText("Pump", "en"), ua.VariantType.LocalizedText)
    sick = await add("sick", 1.0, ua.VariantType.Double)
    broken = ua.StatusCode(ua.StatusCodes.BadSensorFailure)
    await sick.write_value(ua.DataValue(ua.Variant(1.0, ua.VariantType.Double), broken))
    largest = await add("largest_read", 0, ua.VariantType.UInt32)
    server.iserver.aspace.set_attribute_value_callback(
        largest.nodeid,
        ua.AttributeIds.Value,
        lambda *_: ua.DataValue(ua.Variant(LIMITS.largest, ua.VariantType.UInt32)),
    )


async def add_structures(server: Server, index: int, add) -> None:
    """A drive with two motors, an optional field, an enumeration and what must be passed over to reach the rest."""
    await new_enum(server, index, "Gear", ["Reverse", "Neutral", "Forward"])
    await new_struct(
        server, index, "Motor", [
            new_struct_field("Name", ua.VariantType.String),
            new_struct_field("Speed", ua.VariantType.Double),
            new_struct_field("Currents", ua.VariantType.Float, array=True),
        ],
    )  # fmt: skip
    types = await server.load_data_type_definitions()
    gear = await server.nodes.enum_data_type.get_child(f"{index}:Gear")
    motor = await server.nodes.base_structure_type.get_child(f"{index}:Motor")
    await new_struct(
        server, index, "Drive", [
            new_struct_field("Serial", ua.VariantType.UInt32, optional=True),
            new_struct_field("Gear", gear),
            new_struct_field("Motor", motor, array=True),
            new_struct_field("Spare", motor),
            new_struct_field("Hours", ua.VariantType.UInt64, optional=True),
        ],
    )  # fmt: skip
    types |= await server.load_data_type_definitions()

    def made(name: str, speed: float) -> object:
        return types["Motor"](Name=name, Speed=speed, Currents=[speed / 10, speed / 20])

    drive = types["Drive"](
        Serial=None, Gear=types["Gear"].Forward, Motor=[made("a", 10.0), made("bb", 20.0), made("", 30.0)],
        Spare=made("spare", 40.0), Hours=2**40,
    )  # fmt: skip
    await add("drive", drive, ua.VariantType.ExtensionObject)
    await add("motors", [made("x", 1.0), made("y", 2.0)], ua.VariantType.ExtensionObject)


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--policy", choices=POLICIES, help="the only one beside None")
    parser.add_argument("--user-certificate", type=Path, help="let only its holder in")
    parser.add_argument("--distrust", action="store_true")
    parser.add_argument("--password")
    parser.add_argument("--nodes-per-read", type=int, default=0)
    parser.add_argument("--silent-limit", action="store_true")
    return parser.parse_args(arguments)
