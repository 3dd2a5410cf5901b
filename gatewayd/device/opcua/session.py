"""One connection to one server on asyncua, from opening to dropping. It is never repaired: a new one takes its place.

What is ours around the library, and why:
- asyncua's own supervisor, watchdog and renewal tasks are never started: their states lied in tests (a client stayed
  CONNECTED and mute after a freeze). Every request here proves the connection, and a loss ends it.
- its receive limits are off by default, and it takes the server's limits for its own; here every length is bounded.
- no task is left behind, so a dropped session is garbage once its transport is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.common.utils import Buffer, ServiceError
from asyncua.crypto.security_policies import (
    SecurityPolicy,
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes, get_name_and_doc
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary
from asyncua.ua.uaerrors._base import UaError, UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.device.opcua.bounded_client import BoundedClient
from gatewayd.device.opcua.certificate import first_certificate
from gatewayd.device.opcua.fast_read import ReadRequest, results_of
from gatewayd.device.opcua.faults import LIBRARY_ERRORS, translated
from gatewayd.device.opcua.plain_chunk import sealed
from gatewayd.device.opcua.service import Reader, ServiceRequest, body_of
from gatewayd.device.opcua.trust import Trust
from gatewayd.errors import DeviceNotTrusted, DeviceRefused
from gatewayd.model.device import OpcuaDevice

HANDSHAKE_S_MIN = 4.0  # RSA on a small PLC takes its time, whatever the timeout of a read
NAMESPACES_MAX = 65_536
RENEW_AT = 0.75  # of the security token's lifetime (Part 4, 5.5.2.1)
CLOSE_S = 1.0
DEFAULT_PORT = 4840
ENDPOINTS_MAX = 64
NAMESPACE_ARRAY, MAX_NODES_PER_READ = 2255, 11705

Answered = TypeVar("Answered")

POLICIES: dict[str, type[SecurityPolicy]] = {
    "Basic256Sha256": SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": SecurityPolicyAes256Sha256RsaPss,
}


class Session:
    """An open, activated session.

    Args:
        client: the library's client, connected.
        device: the device's configuration.
        clock: for the renewal of the security token.
    """

    def __init__(self, client: BoundedClient, device: OpcuaDevice, clock: Clock) -> None:
        self.namespaces: Sequence[str] = ()
        self.nodes_per_read = 0  # the server's own limit; 0 = none
        self._client = client
        self._device = device
        self._clock = clock
        self._renewing = asyncio.Lock()
        self._renew_at_ns = 0
        self._token_issued()

    @property
    def is_open(self) -> bool:
        """Say whether the transport stands; only an answered request proves more."""
        protocol = self._client.uaclient.protocol
        return protocol is not None and protocol.transport is not None and not protocol.transport.is_closing()

    def read_request(self, nodes: Sequence[bytes], ranges: Sequence[str] = ()) -> ReadRequest:
        """Encode a Read of these nodes, or of one element of each, for this session."""
        return ReadRequest(nodes, self._token, self._device.timeout_ms, ranges)

    async def read(self, request: ReadRequest) -> bytes:
        """Send a prepared Read; return its results back to back.

        Raises:
            DeviceRefused: the server refused the whole Read.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        with translated(self._device, "reading"):
            async with asyncio.timeout(self._device.timeout_ms / 1000):
                if self._clock.monotonic_ns() >= self._renew_at_ns:
                    await self._renew_token()
                handle, answer = self._send(request)
                response = bytes(await answer)
        return results_of(response, handle=handle, count=request.count)

    async def call(self, kind: int, answer_kind: int, body: bytes, doing: str) -> Reader:
        """Call a service; return its response, checked down to the body.

        Args:
            kind: node id of the request's binary encoding.
            answer_kind: node id of the response's binary encoding.
            body: what follows the request's header.
            doing: what is asked for, for messages.

        Raises:
            DeviceRefused: the server refused.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        with translated(self._device, f"asking for {doing}"):
            async with asyncio.timeout(_step_s(self._device)):
                await self._renew_token()
                handle, answer = self._send(ServiceRequest(kind, self._token, body, self._device.timeout_ms))
                response = bytes(await answer)
        return body_of(response, kind=answer_kind, handle=handle, doing=doing)

    def post(self, kind: int, body: bytes) -> tuple[int, asyncio.Future[Buffer]]:
        """Send a request that the server may keep for as long as it likes; return its handle and the answer to come.

        Raises:
            DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        with translated(self._device, "asking for notifications"):
            return self._send(ServiceRequest(kind, self._token, body, 0))

    async def renew(self) -> None:
        """Renew the security token if it is time, for a session on which nothing else is asked.

        Raises:
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        with translated(self._device, "renewing the security token"):
            async with asyncio.timeout(_step_s(self._device)):
                await self._renew_token()

    async def operation_limit(self, number: int) -> int:
        """Read one of the server's operation limits (Part 5, 6.3.11) by its numeric id; 0 = none, or it does not say."""
        with translated(self._device, "reading the server's limits"):
            limit = await self._own_property(number)
        return limit if isinstance(limit, int) and limit > 0 else 0

    async def write(self, node: bytes, value: ua.Variant, index_range: str | None = None) -> int:
        """Write the Value of one node, or a part of it, without timestamps; return the server's status code for it.

        Raises:
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session; the state of the plant is unknown.
        """
        item = ua.WriteValue(
            NodeId=nodeid_from_binary(Buffer(node)),
            AttributeId=AttributeIds.Value,
            IndexRange=index_range,
            Value=ua.DataValue(Value=value, StatusCode=None),
        )
        with translated(self._device, "writing"):
            async with asyncio.timeout(self._device.timeout_ms / 1000):
                await self._renew_token()
                try:
                    results = await self._client.uaclient.session.write(ua.WriteParameters(NodesToWrite=[item]))
                except UaStatusCodeError as fault:
                    if not self.is_open:  # an error message of the transport, not an answer to this write
                        raise
                    return int(fault.code)
            if len(results) != 1:
                raise UaError(f"{len(results)} results for one write")
            return int(results[0].value)

    async def ask(self, doing: str, question: Callable[[UaSession], Awaitable[Answered]]) -> Answered:
        """Run one of the library's own service calls: for people who look around, not for scans.

        Args:
            doing: for messages, e.g. `browsing`.
            question: makes the call.

        Raises:
            DeviceRefused: the server refused the service.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        with translated(self._device, doing):
            async with asyncio.timeout(_step_s(self._device)):
                await self._renew_token()
                try:
                    return await question(self._client.uaclient.session)
                except UaStatusCodeError as fault:
                    if not self.is_open:  # an error message of the transport, not an answer
                        raise
                    name, meaning = get_name_and_doc(fault.code)
                    raise DeviceRefused(
                        f"{self._device.name}: the server refused while {doing}: {name}: {meaning}",
                        remedy="Check the rights of the user and the node; see the server's log.",
                        status=fault.code,
                        code=fault.code,
                    ) from fault

    def close(self) -> None:
        """Say good-bye without waiting: CloseSession frees the server's slot, then the transport goes."""
        protocol = self._client.uaclient.protocol
        if protocol is None or protocol.transport is None:
            return
        transport = protocol.transport
        try:
            protocol._send_request(ua.CloseSessionRequest(DeleteSubscriptions=True)).cancel()
            closing = ua.CloseSecureChannelRequest()
            protocol._send_request(closing, message_type=ua.MessageType.SecureClose).cancel()  # type: ignore[arg-type]
        except (ConnectionError, *LIBRARY_ERRORS):
            transport.abort()
            return
        transport.close()  # flushes; a peer that takes nothing is cut off a moment later
        asyncio.get_running_loop().call_later(CLOSE_S, transport.abort)

    def drop(self) -> None:
        """Cut the connection; every waiting request fails at once."""
        self._client.abort()

    async def learn(self) -> None:
        """Read what the server says about itself: its namespaces and its limit on nodes per Read."""
        with translated(self._device, "reading the server's namespaces"):
            namespaces = await self._own_property(NAMESPACE_ARRAY)
            limit = await self._own_property(MAX_NODES_PER_READ)
            if not isinstance(namespaces, list) or len(namespaces) > NAMESPACES_MAX:
                raise UaError("no readable NamespaceArray")
        self.namespaces = [uri if isinstance(uri, str) else "" for uri in namespaces]
        self.nodes_per_read = limit if isinstance(limit, int) and limit > 0 else 0

    async def _own_property(self, number: int) -> object:
        """Read one property of the Server object on its own: a server may allow one node per Read."""
        node = ua.NodeId(ua.Int32(number))
        async with asyncio.timeout(_step_s(self._device)):
            (answer,) = await self._client.uaclient.session.read_attributes([node], AttributeIds.Value)
        return answer.Value.Value if answer.Value is not None else None

    @property
    def _token(self) -> bytes:
        return nodeid_to_binary(self._client.uaclient.session.authentication_token)

    def _send(self, request: ReadRequest | ServiceRequest) -> tuple[int, asyncio.Future[Buffer]]:
        """Put a prepared request on the wire through asyncua's channel; return its handle and the answer to come."""
        protocol = self._client.uaclient.protocol
        if protocol is None or protocol.transport is None:
            raise ConnectionError("the connection is closed")
        protocol.revolve_security_token()
        protocol._request_handle = handle = protocol._request_handle % 0xFFFF_FFFF + 1
        protocol._request_id += 1
        body = request.stamped(handle, self._clock.wall_ns())
        message = sealed(protocol._connection, body, protocol._request_id)
        if message is None:
            message = protocol._connection.message_to_binary(body, request_id=protocol._request_id)
        answer: asyncio.Future[Buffer] = asyncio.get_running_loop().create_future()
        protocol._callbackmap[protocol._request_id] = answer
        protocol.transport.write(message)
        return handle, answer

    async def _renew_token(self) -> None:
        """Renew the channel's security token when most of its life is over; between requests, so that no task must live."""
        if self._clock.monotonic_ns() < self._renew_at_ns:
            return
        async with self._renewing:
            if self._clock.monotonic_ns() >= self._renew_at_ns:
                await self._client.open_secure_channel(renew=True)
                self._token_issued()

    def _token_issued(self) -> None:
        lifetime_ns = int(self._client.secure_channel_timeout) * 1_000_000
        self._renew_at_ns = self._clock.monotonic_ns() + int(lifetime_ns * RENEW_AT)


async def reach(device: OpcuaDevice, trust: Trust) -> BoundedClient:
    """Open the TCP connection for a session, with its security fixed beforehand.

    Raises:
        DeviceUnreachable, DeviceTimeout: nothing listens there.
        DeviceProtocolError: a certificate or key cannot be used with this policy.
    """
    client = BoundedClient(device, _step_s(device) + 1)  # the library's timeout never comes before ours
    with translated(device, "connecting"):
        await _secure(client, device, trust)
        async with asyncio.timeout(_step_s(device)):
            await client.uaclient.connect_socket(*_address(client))
    return client


async def establish(client: BoundedClient, device: OpcuaDevice, trust: Trust, clock: Clock) -> Session:
    """Open channel and session on a reached server, and learn its limits. On failure the connection is gone.

    Raises:
        DeviceUnreachable, DeviceTimeout, DeviceProtocolError: no usable server there.
        DeviceNotTrusted: it is not the trusted server, or it does not trust us.
    """
    try:
        with translated(device, "opening a session"):
            async with asyncio.timeout(_step_s(device)):
                await client.send_hello()
                await client.open_secure_channel()
            async with asyncio.timeout(_step_s(device)):
                await client.create_session()
                _check_password_policy(client, device)
                await _activate(client, trust)
        session = Session(client, device, clock)
        await session.learn()
    except BaseException:
        client.abort()
        raise
    return session


class Shown(Struct, frozen=True):
    """What a server says of itself to anybody who asks. For messages to people; it decides nothing."""

    certificate: bytes | None  # DER, of the endpoint with the configured policy, else of any
    policies: frozenset[tuple[str, str]]  # (policy, mode) as the configuration writes them


async def ask_without_security(device: OpcuaDevice) -> Shown:
    """Ask the server for its endpoints, over a channel without security.

    Raises:
        DeviceUnreachable, DeviceTimeout, DeviceProtocolError: it does not say.
    """
    client = BoundedClient(device, _step_s(device) + 1)
    try:
        with translated(device, "asking for its endpoints"):
            async with asyncio.timeout(_step_s(device)):
                await client.uaclient.connect_socket(*_address(client))
                await client.send_hello()
                await client.open_secure_channel()
                endpoints = await client.get_endpoints()
            return _shown(device, endpoints[:ENDPOINTS_MAX])
    finally:
        client.abort()


def _shown(device: OpcuaDevice, endpoints: Sequence[ua.EndpointDescription]) -> Shown:
    names = {policy.URI: name for name, policy in POLICIES.items()}
    offered = [(names.get(each.SecurityPolicyUri or "", "other"), each) for each in endpoints]
    wanted = [each for name, each in offered if name == device.security]
    certificates = [each.ServerCertificate for each in (*wanted, *endpoints) if each.ServerCertificate]
    return Shown(
        first_certificate(certificates[0]) if certificates else None,
        frozenset((name, each.SecurityMode.name.removesuffix("_")) for name, each in offered),
    )


def _step_s(device: OpcuaDevice) -> float:
    return max(device.timeout_ms / 1000, HANDSHAKE_S_MIN)


def _address(client: BoundedClient) -> tuple[str, int]:
    url = client.server_url
    if not url.hostname:
        raise ConnectionError(f"{url.geturl()} names no host")
    return url.hostname, url.port or DEFAULT_PORT


async def _secure(client: BoundedClient, device: OpcuaDevice, trust: Trust) -> None:
    """Fix policy, our certificate and the server's before the first byte is sent."""
    if device.security == "None":
        return
    server, identity = trust.server, trust.identity
    assert server is not None
    assert identity is not None

    async def only_the_trusted(certificate: x509.Certificate, _: ua.ApplicationDescription) -> None:
        if certificate.public_bytes(Encoding.DER) != server.der:
            raise ServiceError(StatusCodes.BadCertificateUntrusted)

    client.certificate_validator = only_the_trusted
    client.application_uri = trust.application_uri
    await client.set_security(
        POLICIES[device.security],
        CertProperties(identity.certificate.der, "der"),
        CertProperties(identity.key_pem, "pem"),
        server_certificate=CertProperties(server.der, "der"),
        mode=ua.MessageSecurityMode.Sign if device.mode == "Sign" else ua.MessageSecurityMode.SignAndEncrypt,
    )


async def _activate(client: BoundedClient, trust: Trust) -> None:
    """Say who the user is: a certificate, a name with its password, or nobody."""
    certificate = None
    if trust.user_identity is not None:
        certificate = x509.load_der_x509_certificate(trust.user_identity.certificate.der)
        key = load_pem_private_key(trust.user_identity.key_pem, None)
        assert isinstance(key, rsa.RSAPrivateKey)
        client.user_private_key = key
    await client.activate_session(trust.user, trust.password, certificate)


def _check_password_policy(client: BoundedClient, device: OpcuaDevice) -> None:
    """Refuse to put a password, readable, on a channel that is only signed."""
    if device.user is None or device.mode == "SignAndEncrypt":
        return
    offered = client.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
    if offered not in {policy.URI for policy in POLICIES.values()}:
        raise DeviceNotTrusted(
            f"{device.name}: in mode Sign the server wants the password unencrypted",
            remedy='Set mode = "SignAndEncrypt".',
        )
