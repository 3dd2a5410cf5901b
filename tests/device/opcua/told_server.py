"""An OPC UA server in its own process that does what it is told, one thing after the other, and says `done` after each.

write NAME VALUE ...   several writes, one after the other
add NAME VALUE         a node appears
delete NAME            a node disappears
mute                   forget every monitored item, and go on with keep-alives
lose | vanish          do not send the next notification; when asked again, send it | do not have it
end                    end every subscription with a StatusChangeNotification
forget                 delete every subscription without a word
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from multiprocessing.connection import Connection

from asyncua import Server, ua
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService

URI = "urn:gatewayd:test"


class Loser:
    """Lets one notification be lost between the server and its wire."""

    def __init__(self) -> None:
        self.how = ""
        self._pop = InternalSubscription._pop_publish_result

    def install(self) -> None:
        outer = self

        def pop(self):
            result = outer._pop(self)
            if outer.how and result.NotificationMessage.NotificationData:
                if outer.how == "vanish":
                    self._not_acknowledged_results.clear()
                outer.how = ""
                result = outer._pop(self)
            return result

        InternalSubscription._pop_publish_result = pop


def limit_items(highest: int) -> None:
    """Refuse larger CreateMonitoredItems, whether or not the limit was told."""
    create = MonitoredItemService.create_monitored_items

    async def limited(self, params):
        if highest and len(params.ItemsToCreate) > highest:
            raise ua.uaerrors.UaStatusCodeError(ua.StatusCodes.BadTooManyOperations)
        return await create(self, params)

    MonitoredItemService.create_monitored_items = limited


class Told:
    """The server and what it can be told."""

    def __init__(self, server: Server, index: int, plant, loser: Loser) -> None:
        self._server = server
        self._index = index
        self._plant = plant
        self._loser = loser

    async def add(self, name: str, value: str = "0") -> None:
        node = await self._plant.add_variable(ua.NodeId(name, self._index), name, float(value))
        await node.set_writable()

    async def write(self, name: str, *values: str) -> None:
        node = self._server.get_node(ua.NodeId(name, self._index))
        for value in values:
            await node.write_value(ua.Variant(float(value), ua.VariantType.Double))

    async def delete(self, name: str) -> None:
        await self._server.delete_nodes([self._server.get_node(ua.NodeId(name, self._index))])

    async def mute(self) -> None:
        for subscription in self._subscriptions():
            subscription.monitored_item_srv.delete_all_monitored_items()

    async def lose(self) -> None:
        self._loser.how = "lose"

    async def vanish(self) -> None:
        self._loser.how = "vanish"

    async def end(self) -> None:
        for subscription in self._subscriptions():
            await subscription.monitored_item_srv.trigger_statuschange(ua.StatusCode(ua.StatusCodes.BadTimeout))

    async def forget(self) -> None:
        for number in list(self._server.iserver.subscription_service.subscriptions):
            await self._server.iserver.subscription_service.delete_subscriptions([number])

    def _subscriptions(self) -> list[InternalSubscription]:
        return list(self._server.iserver.subscription_service.subscriptions.values())


def serve(arguments: list[str], pipe: Connection) -> None:
    """Run it; see `ServerProcess`."""
    from tests.device.opcua.prepared import BARE

    asyncio.run(main(BARE, options_of(arguments), pipe))


async def main(server: Server, options: argparse.Namespace, pipe: Connection) -> None:
    logging.basicConfig(level=logging.ERROR)
    loser = Loser()
    loser.install()
    limit_items(options.items_per_call)
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options.port}/test")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for number in range(options.namespaces_before):
        await server.register_namespace(f"urn:elsewhere:{number}")
    index = await server.register_namespace(URI)
    plant = await server.nodes.objects.add_object(ua.NodeId("plant", index), "plant")
    told = Told(server, index, plant, loser)
    for number in range(options.doubles):
        await told.add(f"d{number}", str(number))
    if options.items_per_call and not options.silent_limit:
        limit = server.get_node(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall)
        await limit.write_value(ua.Variant(options.items_per_call, ua.VariantType.UInt32))
    async with server:
        pipe.send(server.bserver._server.sockets[0].getsockname()[1])
        while True:
            word, *rest = await asyncio.to_thread(pipe.recv)
            await getattr(told, word)(*rest)
            pipe.send("done")


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--doubles", type=int, default=10)
    parser.add_argument("--namespaces-before", type=int, default=0)
    parser.add_argument("--items-per-call", type=int, default=0)
    parser.add_argument("--silent-limit", action="store_true")
    return parser.parse_args(arguments)
