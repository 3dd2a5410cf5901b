"""The station's SCADA system: a real OPC UA server (asyncua). Values are computed when they are read."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from hil.plants.child import Child, run_child
from hil.plants.tags import NAMESPACE, NODES, Node
from hil.plants.writes_log import WritesLog
from hil.ports import free_port

EXTRA_PER_FOLDER = 100
PATH = "/gatewayd/station"
_VARIANTS = {
    "float64": ua.VariantType.Double,
    "float32": ua.VariantType.Float,
    "bool": ua.VariantType.Boolean,
}


class _Operators(UserManager):
    """Everybody is a plain user: asyncua's default is admin, who may write read-only nodes."""

    def get_user(
        self, iserver: object, username: object = None, password: object = None, certificate: object = None
    ) -> User:
        return User(role=UserRole.User)


class Scada:
    """The address space over the process image."""

    def __init__(self, child: Child) -> None:
        self._image = child.image
        self._log = WritesLog(child.writes_log)
        self._extra = child.extra

    async def fill(self, server: Server) -> None:
        """Create the nodes: string ids in the station's namespace, the extra ones as `extra_<n>`."""
        index = await server.register_namespace(NAMESPACE)
        folder = await server.nodes.objects.add_object(ua.NodeId("station", index), ua.QualifiedName("station", index))
        for node in NODES:
            variable = await folder.add_variable(
                ua.NodeId(node.tag, index),
                ua.QualifiedName(node.tag, index),
                _plain(node, self._image.value(node.tag)),
                _VARIANTS[node.type],
            )
            space = server.iserver.aspace
            space.set_attribute_value_callback(variable.nodeid, ua.AttributeIds.Value, self._reader(node))
            if node.writable:
                await variable.set_writable()
                space.set_attribute_value_setter(variable.nodeid, ua.AttributeIds.Value, self._writer(node))
        for number in range(self._extra):
            name = f"extra_{number}"
            if number % EXTRA_PER_FOLDER == 0:  # asyncua looks through all children of a folder for each new one
                group = f"extra_from_{number}"
                folder = await server.nodes.objects.add_object(ua.NodeId(group, index), ua.QualifiedName(group, index))
            variable = await folder.add_variable(ua.NodeId(name, index), ua.QualifiedName(name, index), 0.0)
            server.iserver.aspace.set_attribute_value_callback(
                variable.nodeid, ua.AttributeIds.Value, self._extra_reader(number)
            )

    def _reader(self, node: Node) -> Callable[[ua.NodeId, ua.AttributeIds], ua.DataValue]:
        variant = _VARIANTS[node.type]
        return lambda _node, _attribute: self._data_value(_plain(node, self._image.value(node.tag)), variant)

    def _extra_reader(self, number: int) -> Callable[[ua.NodeId, ua.AttributeIds], ua.DataValue]:
        return lambda _node, _attribute: self._data_value(float(self._image.tick + number), ua.VariantType.Double)

    def _data_value(self, value: float | bool, variant: ua.VariantType) -> ua.DataValue:
        stamp = datetime.fromtimestamp(self._image.wall_s, UTC)
        return ua.DataValue(ua.Variant(value, variant), SourceTimestamp=stamp, ServerTimestamp=datetime.now(UTC))

    def _writer(self, node: Node) -> Callable[[object, ua.AttributeIds, ua.DataValue], None]:
        def write(_node: object, _attribute: ua.AttributeIds, value: ua.DataValue) -> None:
            assert value.Value is not None
            raw = float(value.Value.Value)
            self._log.append(server="opcua", tag=node.tag, node=f"nsu={NAMESPACE};s={node.tag}", value=raw)
            self._image.command(node.tag, raw)

        return write


def _plain(node: Node, value: float) -> float | bool:
    return value >= 0.5 if node.type == "bool" else value


async def _serve(child: Child) -> None:
    logging.disable(logging.CRITICAL)  # asyncua warns of what is meant here: no security, no certificate
    gc.disable()  # asyncua creates its 10,000 standard nodes in two thirds of the time without it
    server = Server(user_manager=_Operators())
    await server.init()
    port = child.port or free_port()  # the endpoint URL must be known before the socket is bound
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}{PATH}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    server.set_server_name("pumping station")
    await Scada(child).fill(server)
    gc.freeze()
    gc.enable()
    async with server:
        child.ready(port)
        await child.stopped()


def main(child: Child) -> None:
    """Serve until the parent says stop or is gone."""
    run_child(_serve(child))
